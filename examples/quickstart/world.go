package main

import (
	"crypto"
	_ "embed"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/smtp/smtptest"
)

//go:embed logo.png
var logoPNG []byte

// world is the Internet of this program: a mail server and a DNS server on loopback.
type world struct {
	mail *smtptest.Server
	dns  *mxtest.Server
}

// zone is what the two domains publish, but for the public half of the sender's DKIM key.
const zone = `
	example.org.                  MX  10 mx1.example.org.
	example.org.                  MX  20 mx2.example.org.
	mx1.example.org.              A   127.0.0.1
	mx2.example.org.              A   127.0.0.1
	example.com.                  TXT "v=spf1 a:mail.example.com -all"
	_dmarc.example.com.           TXT "v=DMARC1; p=reject"
`

func startWorld(key crypto.Signer) (*world, error) {
	record := dkim.Record{Key: key.Public()}.Zone("q1._domainkey.example.com")
	names, err := mxtest.Parse(zone + "\t" + record)
	if err != nil {
		return nil, err
	}
	dns, err := names.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &world{mail: (&smtptest.Server{Name: "mx1.example.org"}).Start(), dns: dns}, nil
}

func (w *world) close() {
	w.mail.Close()
	w.dns.Close()
}
