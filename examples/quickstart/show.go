package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-message"
	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
)

// showArrived shows the mail as the receiving side sees it. go-msgauth and go-message look at it, so that not
// only postrider believes what postrider made.
func showArrived(ctx context.Context, w io.Writer, world *world) error {
	mails, err := world.mail.Wait(ctx, 1)
	if err != nil {
		return err
	}
	mail := mails[0]
	step(w, "The envelope that arrived")
	fmt.Fprintf(w, "from <%s> to <%s>, %d octets\n", mail.From, strings.Join(mail.To, ">, <"), len(mail.Data))

	step(w, "The signature, checked by go-msgauth")
	resolver := &mx.DNS{Servers: []string{world.dns.Addr}}
	checks, err := msgauth.VerifyWithOptions(bytes.NewReader(mail.Data), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return lookupTXT(ctx, resolver, name) },
	})
	if err != nil {
		return err
	}
	for _, v := range checks {
		if v.Err != nil {
			return fmt.Errorf("signature of %s: %w", v.Domain, v.Err)
		}
		fmt.Fprintf(w, "valid for d=%s, covers %s\n", v.Domain, strings.Join(v.HeaderKeys, " "))
	}
	if len(checks) == 0 {
		return fmt.Errorf("the mail arrived without a signature")
	}

	step(w, "The parts that arrived, read by go-message")
	entity, err := message.Read(bytes.NewReader(mail.Data))
	if err != nil {
		return err
	}
	subject, err := entity.Header.Text("Subject")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: %s\n", subject)
	return entity.Walk(func(path []int, part *message.Entity, err error) error {
		if err != nil {
			return err
		}
		mediaType, _, err := part.Header.ContentType()
		if err != nil {
			return err
		}
		line := strings.Repeat("  ", len(path)) + mediaType
		if disposition, params, err := part.Header.ContentDisposition(); err == nil && params["filename"] != "" {
			line += fmt.Sprintf("  %s %q", disposition, params["filename"])
		}
		if !strings.HasPrefix(mediaType, "multipart/") {
			n, err := io.Copy(io.Discard, part.Body)
			if err != nil {
				return err
			}
			line += fmt.Sprintf("  %d octets", n)
		}
		fmt.Fprintln(w, line)
		return nil
	})
}

// lookupTXT asks for TXT records; the strings of one record are joined (RFC 6376 s. 3.6.2.2).
func lookupTXT(ctx context.Context, r mx.Resolver, name string) (texts []string, err error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	answer, err := r.Exchange(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	return texts, nil
}
