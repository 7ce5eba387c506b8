package dane_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/postrider/postrider/mx/dane"
)

const (
	host   = "mx1.example.test"
	domain = "example.test"
)

func TestVerify(t *testing.T) {
	root := authority(t, nil, "root")
	middle := authority(t, root, "middle")
	good := leaf(t, middle, host)
	other := leaf(t, middle, "other.example.test")
	onlyDomain := leaf(t, middle, domain)
	wild := leaf(t, middle, "*.example.test")
	common := issue(t, middle, func(c *x509.Certificate) { c.Subject.CommonName, c.IsCA, c.KeyUsage = host, false, 0 })
	self := leaf(t, nil, "nobody.invalid")
	expired := issue(t, middle, func(c *x509.Certificate) {
		c.DNSNames, c.IsCA, c.NotAfter = []string{host}, false, time.Now().Add(-time.Minute)
	})
	notCA := leaf(t, middle, host)
	byLeaf := leaf(t, notCA, host)
	stranger := authority(t, nil, "root") // same name, other key

	full := shown(good, middle, root)
	for _, c := range []struct {
		name    string
		state   tls.ConnectionState
		records []dane.Record
		ok      bool
	}{
		{"3 0 0", full, []dane.Record{record(3, 0, 0, good)}, true},
		{"3 0 1", full, []dane.Record{record(3, 0, 1, good)}, true},
		{"3 0 2", full, []dane.Record{record(3, 0, 2, good)}, true},
		{"3 1 0", full, []dane.Record{record(3, 1, 0, good)}, true},
		{"3 1 1", full, []dane.Record{record(3, 1, 1, good)}, true},
		{"3 1 2", full, []dane.Record{record(3, 1, 2, good)}, true},
		{"3 1 1 of another key", full, []dane.Record{record(3, 1, 1, other)}, false},
		{"3 1 1 of the authority is not the server", full, []dane.Record{record(3, 1, 1, middle)}, false},
		{"3 1 1 needs no name and no authority", shown(self), []dane.Record{record(3, 1, 1, self)}, true},
		{"3 1 1 needs no validity in time", shown(expired, middle), []dane.Record{record(3, 1, 1, expired)}, true},
		{"key rollover: stale and good", full, []dane.Record{record(3, 1, 1, other), record(3, 1, 1, good)}, true},
		{"key rollover of the authority", full, []dane.Record{record(2, 1, 1, stranger), record(2, 1, 1, root)}, true},
		{"2 0 1 root", full, []dane.Record{record(2, 0, 1, root)}, true},
		{"2 1 2 root", full, []dane.Record{record(2, 1, 2, root)}, true},
		{"2 1 1 middle", shown(good, middle), []dane.Record{record(2, 1, 1, middle)}, true},
		{"2 1 1 root that is not sent", shown(good, middle), []dane.Record{record(2, 1, 1, root)}, false},
		{"2 0 0 root that is not sent", shown(good, middle), []dane.Record{record(2, 0, 0, root)}, true},
		{"2 0 0 with a gap in the chain", shown(good), []dane.Record{record(2, 0, 0, root)}, false},
		{"2 1 0 bare key of the root", shown(good, middle), []dane.Record{record(2, 1, 0, root)}, true},
		{"2 1 0 bare key of the middle, leaf alone", shown(good), []dane.Record{record(2, 1, 0, middle)}, true},
		{"2 1 0 bare key of a namesake", shown(good, middle), []dane.Record{record(2, 1, 0, stranger)}, false},
		{"2 1 1 of a certificate that did not sign", shown(good, middle, stranger), []dane.Record{record(2, 1, 1, stranger)}, false},
		{"2 1 1 of the server itself", shown(good, middle), []dane.Record{record(2, 1, 1, good)}, false},
		{"2 0 0 of the server itself", shown(good, middle), []dane.Record{record(2, 0, 0, good)}, false},
		{"2 1 1 of a self-signed server, sent twice", shown(self, self), []dane.Record{record(2, 1, 1, self)}, false},
		{"2 1 1 below a server certificate", shown(byLeaf, notCA, middle), []dane.Record{record(2, 1, 1, middle)}, false},
		{"2 1 1 with a wrong name", shown(other, middle), []dane.Record{record(2, 1, 1, middle)}, false},
		{"2 1 1 with the next-hop domain's name", shown(onlyDomain, middle), []dane.Record{record(2, 1, 1, middle)}, true},
		{"2 1 1 with a wildcard", shown(wild, middle), []dane.Record{record(2, 1, 1, middle)}, true},
		{"2 1 1 with a common name only", shown(common, middle), []dane.Record{record(2, 1, 1, middle)}, true},
		{"2 1 1 expired", shown(expired, middle), []dane.Record{record(2, 1, 1, middle)}, false},
		{"2 1 1 fails, 3 1 1 holds", shown(other, middle), []dane.Record{record(2, 1, 1, middle), record(3, 1, 1, other)}, true},
		{"usage 0 and 1 count for nothing", full, []dane.Record{record(0, 1, 1, root), record(1, 1, 1, good)}, false},
		{"unknown usage", full, []dane.Record{record(4, 1, 1, good)}, false},
		{"unknown selector", full, []dane.Record{{Usage: 3, Selector: 2, Matching: 1, Data: record(3, 1, 1, good).Data}}, false},
		{"unknown matching", full, []dane.Record{{Usage: 3, Selector: 1, Matching: 3, Data: record(3, 1, 1, good).Data}}, false},
		{"short digest", full, []dane.Record{{Usage: 3, Selector: 1, Matching: 1, Data: record(3, 1, 1, good).Data[:31]}}, false},
		{"empty data, full match", full, []dane.Record{{Usage: 3, Selector: 1}}, false},
		{"no records", full, nil, false},
		{"no certificate", tls.ConnectionState{}, []dane.Record{record(3, 1, 1, good)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := dane.Verify(c.state, c.records, []string{host, domain})
			if c.ok != (err == nil) {
				t.Fatalf("Verify: %v, want ok %v", err, c.ok)
			}
			var mismatch *dane.Error
			if err != nil && (!errors.As(err, &mismatch) || !mismatch.Temporary()) {
				t.Errorf("Verify: %T, want a temporary *dane.Error", err)
			}
		})
	}
}

func TestVerifySaysWhy(t *testing.T) {
	root := authority(t, nil, "root")
	wrong := leaf(t, root, "other.example.test")
	err := dane.Verify(shown(wrong, root), []dane.Record{record(2, 1, 1, root)}, []string{host})
	var name x509.HostnameError
	if !errors.As(err, &name) || name.Host != host {
		t.Errorf("a wrong name is %v", err)
	}
	old := issue(t, root, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	err = dane.Verify(shown(old, root), []dane.Record{record(2, 1, 1, root)}, []string{host})
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("an expired certificate is %v", err)
	}
}

// A common name counts only where there is no DNS name (RFC 7672 s. 3.2.3).
func TestCommonNames(t *testing.T) {
	root := authority(t, nil, "root")
	for _, c := range []struct {
		common string
		names  []string
		ok     bool
	}{
		{"mx1.example.test", nil, true},
		{"MX1.Example.Test", nil, true},
		{"*.example.test", nil, true},
		{"*.test", nil, false},
		{"mx*.example.test", nil, false},
		{"*.mx1.example.test", nil, false},
		{"", nil, false},
		{"mx1.example.test", []string{"other.example.test"}, false},
	} {
		id := issue(t, root, func(cert *x509.Certificate) {
			cert.Subject.CommonName, cert.DNSNames, cert.IsCA = c.common, c.names, false
		})
		err := dane.Verify(shown(id, root), []dane.Record{record(2, 0, 1, root)}, []string{host})
		if c.ok != (err == nil) {
			t.Errorf("common name %q, DNS names %q: %v, want ok %v", c.common, c.names, err, c.ok)
		}
	}
}

// Of two digests of one kind only the stronger counts, so that a broken SHA-256 could not be used
// against a domain that also publishes SHA-512 (RFC 7671 s. 9).
func TestDigestAgility(t *testing.T) {
	good, other := leaf(t, nil, host), leaf(t, nil, host)
	records := []dane.Record{record(3, 1, 1, good), record(3, 1, 2, other)}
	if err := dane.Verify(shown(good), records, nil); err == nil {
		t.Error("the weaker digest was used")
	}
	records = append(records, record(3, 1, 0, good), record(3, 0, 1, other), record(0, 1, 2, good))
	if err := dane.Verify(shown(good), records, nil); err != nil {
		t.Errorf("a full match does not count: %v", err)
	}
	if got := len(dane.Usable(records)); got != 3 {
		t.Errorf("Usable: %d records, want 3", got)
	}
}
