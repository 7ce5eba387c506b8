// Package pgp signs and encrypts the content of messages by OpenPGP, with ProtonMail's go-crypto.
//
//	entity ─► Sign: multipart/signed, the entity and a detached signature
//	entity ─► Encrypt: multipart/encrypted, for every recipient's key, signed inside when a signer is given
//
// The header of the message stays readable in both.
//
// RFC 3156 (PGP/MIME), RFC 9580 (OpenPGP), RFC 1847 (multipart/signed and multipart/encrypted).
package pgp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Protect is the type of postrider's Message.Protect.
type Protect = func(ctx context.Context, entity []byte) ([]byte, error)

var config = &packet.Config{DefaultHash: crypto.SHA256}

// Sign signs with the signer's key, which must not be locked by a passphrase any more.
func Sign(signer *openpgp.Entity) Protect {
	return func(_ context.Context, entity []byte) ([]byte, error) {
		var signature bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&signature, signer, bytes.NewReader(entity), config); err != nil {
			return nil, fmt.Errorf("pgp: %w", err)
		}
		boundary := "=_pgp_" + rand.Text()
		var b bytes.Buffer
		fmt.Fprintf(&b, "Content-Type: multipart/signed; protocol=\"application/pgp-signature\";\r\n micalg=pgp-sha256; boundary=\"%s\"\r\n\r\n", boundary)
		fmt.Fprintf(&b, "--%s\r\n%s\r\n--%s\r\n", boundary, entity, boundary)
		b.WriteString("Content-Type: application/pgp-signature; name=\"signature.asc\"\r\nContent-Disposition: attachment; filename=\"signature.asc\"\r\n\r\n")
		fmt.Fprintf(&b, "%s\r\n--%s--\r\n", crlf(signature.String()), boundary)
		return b.Bytes(), nil
	}
}

// Encrypt encrypts for the recipients' keys, and signs inside with the signer's unless it is nil. Subject,
// addresses and the other fields of the header stay readable.
func Encrypt(signer *openpgp.Entity, recipients ...*openpgp.Entity) Protect {
	return func(_ context.Context, entity []byte) ([]byte, error) {
		if len(recipients) == 0 {
			return nil, errors.New("pgp: nobody to encrypt for")
		}
		data, err := encrypt(signer, recipients, entity)
		if err != nil {
			return nil, fmt.Errorf("pgp: %w", err)
		}
		boundary := "=_pgp_" + rand.Text()
		var b bytes.Buffer
		fmt.Fprintf(&b, "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n boundary=\"%s\"\r\n\r\n", boundary)
		fmt.Fprintf(&b, "--%s\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--%s\r\n", boundary, boundary)
		b.WriteString("Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\nContent-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n")
		fmt.Fprintf(&b, "%s\r\n--%s--\r\n", crlf(data), boundary)
		return b.Bytes(), nil
	}
}

func encrypt(signer *openpgp.Entity, recipients []*openpgp.Entity, entity []byte) (string, error) {
	var b strings.Builder
	armored, err := armor.Encode(&b, openpgp.MessageType, nil)
	if err != nil {
		return "", err
	}
	plain, err := openpgp.Encrypt(armored, recipients, signer, nil, config)
	if err != nil {
		return "", err
	}
	if _, err := plain.Write(entity); err != nil {
		return "", err
	}
	if err := plain.Close(); err != nil {
		return "", err
	}
	err = armored.Close()
	return b.String(), err
}

// crlf gives armor the line ends of mail.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
