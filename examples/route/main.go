// Route shows where mail for a domain goes and how safely, and why:
//
//	go run ./examples/route example.com
//	go run ./examples/route -probe example.com
//
// The first asks the DNS for the domain's mail hosts and their addresses, for TLSA records (DANE) and for an
// MTA-STS policy, and prints what is demanded of a connection to each host. The second connects to the
// hosts as well, begins TLS, and prints the handshake, the certificates and whether they meet the demand.
// No mail is sent.
//
// DANE needs a resolver that validates DNSSEC and that is trusted: one on a loopback address, or -trust-ad.
//
// The exit status is 0 when mail has a way, with -probe one that has been tried; 64 for bad usage; 69 when there is
// no way for good, as for a domain that does not exist; 75 when there is none now.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mtasts"
)

// The exit statuses, as sysexits.h numbers them.
const (
	exitOK          = 0
	exitUsage       = 64
	exitUnavailable = 69
	exitTemporary   = 75
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are what the command line says.
type settings struct {
	router  mx.Router
	roots   *x509.CertPool
	probe   bool
	hello   string
	timeout time.Duration
	domain  string
}

func run(ctx context.Context, args []string, out, problems io.Writer) int {
	var s settings
	switch err := s.parse(args, problems); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(problems, "route:", err)
		return exitUsage
	}
	route, err := s.router.Route(ctx, s.domain)
	if err != nil {
		fmt.Fprintln(problems, "route:", err)
		var e *mx.Error
		if errors.As(err, &e) && !e.Temporary() {
			return exitUnavailable
		}
		return exitTemporary
	}
	fmt.Fprint(out, route)
	if !s.probe {
		return exitOK
	}
	passed := false
	p := prober{roots: s.roots, hello: s.hello, timeout: s.timeout, out: out}
	for i := range route.Hosts {
		if h := &route.Hosts[i]; h.Err == nil && p.try(ctx, h) {
			passed = true
		}
	}
	if !passed {
		fmt.Fprintln(out, "no host can be used now: mail would wait")
		return exitTemporary
	}
	return exitOK
}

func (s *settings) parse(args []string, problems io.Writer) error {
	flags := flag.NewFlagSet("route", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {
		fmt.Fprintln(problems, "usage: route [flags] DOMAIN")
		flags.SetOutput(problems)
		flags.PrintDefaults()
		flags.SetOutput(io.Discard)
	}
	resolver := flags.String("resolver", "", "ask these name servers, `HOST[:PORT],...`, instead of those of /etc/resolv.conf")
	trust := flags.Bool("trust-ad", false, "believe that the name servers validate DNSSEC and that the way to them is safe")
	allow := flags.String("allow", "", "allow addresses off the public Internet: loopback, private, or `PREFIX,...`")
	port := flags.Uint("port", 25, "the `PORT` of the mail hosts")
	network := flags.String("network", "ip", "ip, ip4 or ip6")
	ca := flags.String("ca", "", "trust the authorities in this PEM `FILE` instead of the system's")
	useDANE := flags.Bool("dane", true, "apply DANE")
	useSTS := flags.Bool("sts", true, "apply MTA-STS")
	flags.BoolVar(&s.probe, "probe", false, "connect to the hosts and show the TLS handshake")
	flags.StringVar(&s.hello, "hello", "localhost", "the `NAME` to say in EHLO")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "for each connection")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("give one domain, after the flags; -help lists them")
	}
	if *port == 0 || *port > 65535 {
		return fmt.Errorf("there is no port %d", *port)
	}
	s.domain = flags.Arg(0)
	s.router.Port = uint16(*port)
	s.router.Network = *network
	s.router.TrustAD = *trust
	if *resolver != "" {
		s.router.Resolver = &mx.DNS{Servers: strings.Split(*resolver, ",")}
	}
	var err error
	if s.router.Allow, err = prefixes(*allow); err != nil {
		return err
	}
	if s.roots, err = authorities(*ca); err != nil {
		return err
	}
	s.router.Policies = policies(*useDANE, *useSTS, s.roots)
	return nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// policies are those that need no memory of earlier mail. What they have to say is in the route's notes.
func policies(useDANE, useSTS bool, roots *x509.CertPool) (list []mx.Policy) {
	silent := func(context.Context, string) {}
	if useDANE {
		list = append(list, &dane.Policy{Notice: silent})
	}
	if useSTS {
		list = append(list, &mtasts.Policy{TLS: tlsConfig(roots), Notice: silent})
	}
	return list
}

func prefixes(text string) (list []netip.Prefix, err error) {
	words := map[string][]string{
		"loopback": {"127.0.0.0/8", "::1/128"},
		"private":  {"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "100.64.0.0/10"},
	}
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		parts, ok := words[word]
		if !ok {
			parts = []string{word}
		}
		for _, part := range parts {
			p, err := netip.ParsePrefix(part)
			if err != nil {
				return nil, fmt.Errorf("-allow takes loopback, private or prefixes: %w", err)
			}
			list = append(list, p)
		}
	}
	return list, nil
}
