package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Record is what the DNS says about a key (RFC 6376 s. 3.6.1).
type Record struct {
	// Key is an *rsa.PublicKey or an ed25519.PublicKey. Nil: the key was revoked.
	Key crypto.PublicKey
	// Testing asks receivers to treat mail with this signature as if it had none, good or bad (t=y).
	Testing bool
	// Strict forbids an Identity below the domain (t=s).
	Strict bool
}

// maxRecord is more than a record with the largest key that is in use needs.
const maxRecord = 8 << 10

// Record returns what to publish under the key's Name.
func (k Key) Record() (Record, error) {
	if k.Signer == nil {
		return Record{}, errors.New("dkim: the key has no private key")
	}
	r := Record{Key: k.Signer.Public()}
	_, err := r.tags()
	return r, err
}

// String returns the text of the TXT record.
func (r Record) String() string {
	s, err := r.tags()
	if err != nil {
		return "v=DKIM1; p=" // a key that no signature can be made with is as good as revoked
	}
	return s
}

func (r Record) tags() (string, error) {
	kind, data, err := "", []byte(nil), error(nil)
	switch key := r.Key.(type) {
	case nil:
	case *rsa.PublicKey:
		// Everybody publishes a SubjectPublicKeyInfo (RFC 6376, erratum 3017).
		kind = " k=rsa;"
		data, err = x509.MarshalPKIXPublicKey(key)
	case ed25519.PublicKey:
		kind, data = " k=ed25519;", key // RFC 8463 s. 4: the bare 32 octets
	default:
		err = fmt.Errorf("dkim: no record for a key of type %T: use RSA or Ed25519", key)
	}
	if err != nil {
		return "", err
	}
	flags := ""
	switch {
	case r.Testing && r.Strict:
		flags = " t=y:s;"
	case r.Testing:
		flags = " t=y;"
	case r.Strict:
		flags = " t=s;"
	}
	return "v=DKIM1;" + kind + flags + " p=" + base64.StdEncoding.EncodeToString(data), nil
}

// Strings returns the record as the character strings of a TXT record, which hold at most 255 octets
// (RFC 1035 s. 3.3.14); receivers join them without a space.
func (r Record) Strings() []string {
	var list []string
	s := r.String()
	for len(s) > 255 {
		list = append(list, s[:255])
		s = s[255:]
	}
	return append(list, s)
}

// Zone returns the record as lines of a zone file, for the name that Key.Name returns.
func (r Record) Zone(name string) string {
	list := r.Strings()
	if len(list) == 1 {
		return fmt.Sprintf("%s. IN TXT %q\n", name, list[0])
	}
	return name + ". IN TXT (\n\t\"" + strings.Join(list, "\"\n\t\"") + "\" )\n"
}

// ParseRecord reads the text of a TXT record, its strings joined. A revoked key is no error: its
// Record has no Key.
func ParseRecord(text string) (Record, error) {
	if len(text) > maxRecord {
		return Record{}, fmt.Errorf("dkim: the record is longer than %d octets", maxRecord)
	}
	tags, err := parseTags(text)
	if err != nil {
		return Record{}, err
	}
	var r Record
	kind := "rsa"
	key, found := "", false
	for i, t := range tags {
		switch t.name {
		case "v":
			if i != 0 || t.value != "DKIM1" {
				return Record{}, errors.New("dkim: the record is not of version DKIM1")
			}
		case "k":
			kind = t.value
		case "h":
			if !inList(t.value, "sha256") {
				return Record{}, fmt.Errorf("dkim: the record allows the hashes %q only, not sha256", t.value)
			}
		case "s":
			if !inList(t.value, "email") && !inList(t.value, "*") {
				return Record{}, fmt.Errorf("dkim: the record is for the service %q, not for mail", t.value)
			}
		case "t":
			r.Testing, r.Strict = inList(t.value, "y"), inList(t.value, "s")
		case "p":
			key, found = t.value, true
		}
	}
	if !found {
		return Record{}, errors.New("dkim: the record has no key (p=)")
	}
	r.Key, err = parsePublicKey(kind, key)
	return r, err
}

func parsePublicKey(kind, text string) (crypto.PublicKey, error) {
	if text = withoutSpace(text); text == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("dkim: the key in the record (p=) is not base64: %w", err)
	}
	switch strings.ToLower(kind) {
	case "rsa":
		if key, err := x509.ParsePKCS1PublicKey(data); err == nil { // as RFC 6376 itself has it
			return key, nil
		}
		key, err := x509.ParsePKIXPublicKey(data)
		if err != nil {
			return nil, fmt.Errorf("dkim: the key in the record: %w", err)
		}
		if key, ok := key.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("dkim: the record says k=rsa and holds a key of type %T", key)
	case "ed25519":
		if len(data) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("dkim: an Ed25519 key has 32 octets, that in the record has %d", len(data))
		}
		return ed25519.PublicKey(data), nil
	}
	return nil, fmt.Errorf("dkim: the record is for keys of kind %q: rsa and ed25519 are known", kind)
}
