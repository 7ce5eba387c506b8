package dane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Error says that a server is not the one that its TLSA records describe. A later attempt may
// find records and server in agreement again, so it is temporary (RFC 7672 s. 2.2).
type Error struct {
	// Records are those that were tried.
	Records []Record
	// Err is why the best of them failed.
	Err error
}

func (e *Error) Error() string {
	texts := make([]string, len(e.Records))
	for i, r := range e.Records {
		texts[i] = r.String()
	}
	return fmt.Sprintf("dane: %v (TLSA %s)", e.Err, strings.Join(texts, ", "))
}

// Unwrap returns the cause, such as an x509.HostnameError.
func (e *Error) Unwrap() error { return e.Err }

// Temporary is true.
func (e *Error) Temporary() bool { return true }

var errNoMatch = errors.New("no TLSA record matches the server's certificates")

// Verify decides on a finished handshake by the usable of the records: one match is enough. A
// DANE-EE record needs no name and no validity in time (RFC 7672 s. 3.1.1); a DANE-TA record
// needs a valid chain to the trust anchor and a certificate for one of the names (s. 3.1.2,
// 3.2.2). The error is an *Error.
func Verify(state tls.ConnectionState, records []Record, names []string) error {
	records = Usable(records)
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return &Error{Records: records, Err: errors.New("the server showed no certificate")}
	}
	why := errNoMatch
	for _, r := range records {
		switch r.Usage {
		case usageEE:
			if r.matches(chain[0]) {
				return nil
			}
		case usageTA:
			err := verifyTA(r, chain, names)
			if err == nil {
				return nil
			}
			if err != errNoMatch {
				why = err
			}
		}
	}
	return &Error{Records: records, Err: why}
}

// verifyTA verifies the chain with the trust anchor that the record names as its only root.
func verifyTA(r Record, chain []*x509.Certificate, names []string) error {
	roots := anchors(r, chain)
	if len(roots) == 0 {
		return errNoMatch
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: time.Now()})
	if err != nil {
		return err
	}
	for _, name := range names {
		if matchesName(chain[0], name) {
			return nil
		}
	}
	return x509.HostnameError{Certificate: chain[0], Host: strings.Join(names, ", ")}
}

// anchors returns the trust anchors of a DANE-TA record: the certificates above the server's own
// that match it, and what the record itself holds. A digest alone needs the anchor in the chain
// that the server sends (RFC 7672 s. 3.1.2). The server's own certificate or key is no anchor.
func anchors(r Record, chain []*x509.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	if r.matches(chain[0]) {
		return nil
	}
	for _, c := range chain[1:] {
		if r.matches(c) {
			found = append(found, c)
		}
	}
	if len(found) > 0 || r.Matching != matchFull {
		return found
	}
	if r.Selector == selectCert { // "2 0 0": the anchor need not be sent
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			found = append(found, c)
		}
		return found
	}
	key, err := x509.ParsePKIXPublicKey(r.Data) // "2 1 0": a bare key that signed one of the chain
	if err != nil {
		return nil
	}
	for i, c := range chain {
		found = append(found, bareKey(key, r.Data, c, i))
	}
	return found
}

// bareKey makes a certificate for a key that is known without one, with the name and key
// identifier under which the child looks for its issuer.
func bareKey(key any, spki []byte, child *x509.Certificate, n int) *x509.Certificate {
	return &x509.Certificate{
		Raw:                     append([]byte{byte(n)}, spki...), // pools tell certificates apart by Raw
		RawSubject:              child.RawIssuer,
		Subject:                 child.Issuer,
		RawSubjectPublicKeyInfo: spki,
		PublicKey:               key,
		PublicKeyAlgorithm:      keyAlgorithm(key),
		SubjectKeyId:            child.AuthorityKeyId,
		Version:                 3,
		BasicConstraintsValid:   true,
		IsCA:                    true,
		MaxPathLen:              -1,
		KeyUsage:                x509.KeyUsageCertSign,
		NotBefore:               time.Unix(0, 0),
		NotAfter:                time.Unix(1<<40, 0),
	}
}

// matchesName says that the certificate is for the name, by its DNS names and, when it has none, by
// its common name (RFC 7672 s. 3.2.3). A wildcard stands for one whole left-most label.
func matchesName(cert *x509.Certificate, name string) bool {
	if len(cert.DNSNames) > 0 {
		return cert.VerifyHostname(name) == nil
	}
	pattern := strings.ToLower(strings.TrimSuffix(cert.Subject.CommonName, "."))
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		_, parent, _ := strings.Cut(name, ".")
		return strings.Contains(rest, ".") && parent == rest
	}
	return pattern != "" && pattern == name
}
