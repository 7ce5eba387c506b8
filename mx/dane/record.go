package dane

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/miekg/dns"
)

// The values that SMTP uses (RFC 6698 s. 2.1, names of RFC 7218).
const (
	usageTA = 2 // DANE-TA: the record names a trust anchor of the chain
	usageEE = 3 // DANE-EE: the record names the server's own certificate or key

	selectCert = 0 // the whole certificate
	selectSPKI = 1 // its SubjectPublicKeyInfo

	matchFull   = 0
	matchSHA256 = 1
	matchSHA512 = 2
)

// Record is a TLSA record (RFC 6698 s. 2.1).
type Record struct {
	Usage, Selector, Matching uint8
	// Data is the certificate association data.
	Data []byte
}

// FromRR takes a record out of a DNS answer. It fails when the data is not hexadecimal.
func FromRR(rr *dns.TLSA) (Record, error) {
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil {
		return Record{}, fmt.Errorf("dane: TLSA data: %w", err)
	}
	return Record{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data}, nil
}

// String returns the record in zone file form, its data shortened to 16 octets.
func (r Record) String() string {
	data := hex.EncodeToString(r.Data[:min(len(r.Data), 16)])
	if len(r.Data) > 16 {
		data += "..."
	}
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, data)
}

// text returns the record in zone file form.
func (r Record) text() string {
	return fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data)
}

// usable says that SMTP can authenticate by the record: usages 0 and 1 cannot be relied on
// between mail servers, which share no list of authorities (RFC 7672 s. 3.1.3), and parameters
// that are not known or data that cannot match make a record unusable (RFC 6698 s. 4.1,
// RFC 7671 s. 10.1.2).
func (r Record) usable() bool {
	if r.Usage != usageTA && r.Usage != usageEE {
		return false
	}
	if r.Selector != selectCert && r.Selector != selectSPKI {
		return false
	}
	switch r.Matching {
	case matchSHA256:
		return len(r.Data) == sha256.Size
	case matchSHA512:
		return len(r.Data) == sha512.Size
	case matchFull:
		key, err := r.key()
		if rsaKey, ok := key.(*rsa.PublicKey); ok && rsaKey.N.BitLen() > maxRSA {
			return false
		}
		return err == nil
	}
	return false
}

// maxRSA is the length above which an RSA key only serves to keep us busy; crypto/tls draws the same
// line for the certificates of a handshake.
const maxRSA = 8192

// key returns the public key that the data of a record with matching type 0 holds.
func (r Record) key() (any, error) {
	if r.Selector == selectSPKI {
		return x509.ParsePKIXPublicKey(r.Data)
	}
	cert, err := x509.ParseCertificate(r.Data)
	if err != nil {
		return nil, err
	}
	return cert.PublicKey, nil
}

// Usable returns the records that SMTP can authenticate by. Of the digests for the same usage
// and selector only those of the strongest algorithm remain (RFC 7671 s. 9, RFC 7672 s. 5).
func Usable(records []Record) []Record {
	type kind struct{ usage, selector uint8 }
	strongest := map[kind]uint8{}
	for _, r := range records {
		k := kind{r.Usage, r.Selector}
		if r.usable() && r.Matching > strongest[k] {
			strongest[k] = r.Matching
		}
	}
	var usable []Record
	for _, r := range records {
		if r.usable() && (r.Matching == matchFull || r.Matching == strongest[kind{r.Usage, r.Selector}]) {
			usable = append(usable, r)
		}
	}
	return usable
}

// matches says that the record's data is that of the certificate (RFC 6698 s. 2.1).
func (r Record) matches(cert *x509.Certificate) bool {
	var whole []byte
	switch r.Selector {
	case selectCert:
		whole = cert.Raw
	case selectSPKI:
		whole = cert.RawSubjectPublicKeyInfo
	default:
		return false
	}
	switch r.Matching {
	case matchFull:
		return len(whole) > 0 && bytes.Equal(whole, r.Data)
	case matchSHA256:
		sum := sha256.Sum256(whole)
		return bytes.Equal(sum[:], r.Data)
	case matchSHA512:
		sum := sha512.Sum512(whole)
		return bytes.Equal(sum[:], r.Data)
	}
	return false
}
