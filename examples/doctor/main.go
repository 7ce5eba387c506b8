// Doctor tells before the first mail what Gmail, Yahoo, Microsoft and Apple will say to it:
//
//	go run ./examples/doctor -source 192.0.2.25 -hello mail.example.com -dkim example.com:s2026:s2026.pem news@example.com
//
// It judges the domain of the address, SPF with its lookups, the published DKIM keys against the private keys in use,
// DMARC and what is aligned, the reverse DNS and the EHLO name of each address that mail leaves from, and the
// records for TLS and logos. What is wrong comes with the record to publish. No mail is sent: it asks the DNS.
//
// Flags: -transport takes a URL as postrider.Open does (or the variable POSTRIDER_URL), and so the keys and the relay of
// a program's configuration; -dkim, -source and -hello say the same by themselves; -return-path is the envelope
// sender where it differs; -bulk judges by the rules for 5,000 mails a day; -resolver asks another DNS server;
// -json prints for programs; -color is auto, always or never; -quiet leaves out what is good.
//
// The exit status, for CI: 0 when all four take the mail, 1 when one refuses it (with -strict also when it is at risk),
// 64 for bad usage, 75 when the identity could not be judged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx"
)

// The exit statuses.
const (
	exitOK      = 0
	exitRefused = 1
	exitUsage   = 64
	exitUnknown = 75
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// settings are what the command line says.
type settings struct {
	doctor       postrider.Doctor
	from         string
	json, strict bool
	quiet        bool
	color        string
	timeout      time.Duration
}

func run(ctx context.Context, args []string, out, problems io.Writer, getenv func(string) string) int {
	var s settings
	switch err := s.parse(args, problems, getenv); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(problems, "doctor:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	report, err := s.doctor.Preflight(ctx, s.from)
	switch {
	case errors.Is(err, postrider.ErrInvalid):
		fmt.Fprintln(problems, "doctor:", err)
		return exitUsage
	case err != nil:
		fmt.Fprintln(problems, "doctor:", err)
		return exitUnknown
	}
	if err := s.print(out, report, getenv); err != nil {
		fmt.Fprintln(problems, "doctor:", err)
		return exitUnknown
	}
	for _, j := range report.Judgements {
		if j.Result == "refused" || s.strict && j.Result != "pass" {
			return exitRefused
		}
	}
	return exitOK
}

func (s *settings) parse(args []string, problems io.Writer, getenv func(string) string) error {
	f := flag.NewFlagSet("doctor", flag.ContinueOnError)
	f.SetOutput(problems)
	f.Usage = func() {
		fmt.Fprintln(problems, "usage: doctor [flags] FROM-ADDRESS")
		f.PrintDefaults()
	}
	url := f.String("transport", getenv("POSTRIDER_URL"), "the `URL` of the program's transport, as postrider.Open takes it")
	f.Func("source", "an `address` that mail leaves from; may be given again", func(v string) error {
		addr, err := netip.ParseAddr(v)
		s.doctor.Sources = append(s.doctor.Sources, addr)
		return err
	})
	var keys []dkim.Key
	f.Func("dkim", "a key: `DOMAIN:SELECTOR:KEYFILE`; may be given again", func(v string) error {
		part := strings.SplitN(v, ":", 3)
		if len(part) != 3 {
			return errors.New("want DOMAIN:SELECTOR:KEYFILE")
		}
		key, err := dkim.LoadKey(part[2])
		keys = append(keys, dkim.Key{Domain: part[0], Selector: part[1], Signer: key})
		return err
	})
	resolver := f.String("resolver", "", "the `address:port` of the DNS server; empty: those of /etc/resolv.conf")
	f.StringVar(&s.doctor.Hello, "hello", "", "the `name` said in EHLO")
	f.StringVar(&s.doctor.ReturnPath, "return-path", "", "the envelope sender `address`")
	f.BoolVar(&s.doctor.Bulk, "bulk", false, "judge by the rules for 5,000 mails a day and more")
	f.BoolVar(&s.json, "json", false, "print JSON")
	f.BoolVar(&s.strict, "strict", false, "exit with 1 where mail is at risk")
	f.BoolVar(&s.quiet, "quiet", false, "leave out what is good")
	f.StringVar(&s.color, "color", "auto", "`when` to use colour: auto, always or never")
	f.DurationVar(&s.timeout, "timeout", time.Minute, "how long to ask")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return errors.New("want one address that mail is from")
	}
	if s.color != "auto" && s.color != "always" && s.color != "never" {
		return fmt.Errorf("-color=%s: want auto, always or never", s.color)
	}
	s.from = f.Arg(0)
	if *resolver != "" {
		if _, err := netip.ParseAddrPort(*resolver); err != nil {
			return fmt.Errorf("-resolver=%s: want ADDRESS:PORT", *resolver)
		}
		s.doctor.Resolver = &mx.Cache{Resolver: &mx.DNS{Servers: []string{*resolver}}}
	}
	return s.client(*url, keys)
}

// client is the one whose mail is judged.
func (s *settings) client(url string, keys []dkim.Key) error {
	s.doctor.Client = new(postrider.Client)
	if url != "" {
		client, err := postrider.Open(url)
		if err != nil {
			return err
		}
		s.doctor.Client = client
	}
	if keys != nil {
		s.doctor.Client.Signer = dkim.Signer{Keys: keys, ShortRSA: true, Ed25519Alone: true} // the doctor says what is wrong with them
	}
	return nil
}
