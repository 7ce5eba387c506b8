// Package smime signs and encrypts the content of messages by S/MIME, with smallstep/pkcs7.
//
//	entity ─► Sign: multipart/signed, the entity and a detached CMS signature
//	entity ─► Encrypt: application/pkcs7-mime, CMS enveloped data for every recipient's certificate
//
// To do both, encrypt what is signed: Chain(Sign(…), Encrypt(…)).
//
// RFC 8551 (S/MIME 4.0), RFC 5652 (CMS), RFC 1847 (multipart/signed).
package smime

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
)

// Protect is the type of postrider's Message.Protect.
type Protect = func(ctx context.Context, entity []byte) ([]byte, error)

func init() {
	// The library has its algorithm in variables, and DES as default. AES-256 in CBC is what every reader
	// of S/MIME knows (RFC 8551 s. 2.7); its GCM would need another content type.
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES256CBC
}

// Sign signs with the certificate's key, SHA-256. The certificates behind the first one are sent too. The
// key is an RSA or ECDSA key, whose certificate has the From address.
func Sign(cert tls.Certificate) Protect {
	return func(_ context.Context, entity []byte) ([]byte, error) {
		signature, err := sign(cert, entity)
		if err != nil {
			return nil, fmt.Errorf("smime: %w", err)
		}
		boundary := "=_smime_" + rand.Text()
		var b bytes.Buffer
		fmt.Fprintf(&b, "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256; boundary=\"%s\"\r\n\r\n", boundary)
		fmt.Fprintf(&b, "--%s\r\n%s\r\n--%s\r\n", boundary, entity, boundary)
		b.WriteString("Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n" +
			"Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n")
		writeBase64(&b, signature)
		fmt.Fprintf(&b, "--%s--\r\n", boundary)
		return b.Bytes(), nil
	}
}

func sign(cert tls.Certificate, entity []byte) ([]byte, error) {
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	data, err := pkcs7.NewSignedData(entity)
	if err != nil {
		return nil, err
	}
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := data.AddSignerChain(chain[0], cert.PrivateKey, chain[1:], pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	data.Detach()
	return data.Finish()
}

// Encrypt encrypts for the holders of the certificates, which must have RSA keys. Subject, addresses and the
// other fields of the header stay readable.
func Encrypt(recipients ...*x509.Certificate) Protect {
	return func(_ context.Context, entity []byte) ([]byte, error) {
		if len(recipients) == 0 {
			return nil, errors.New("smime: nobody to encrypt for")
		}
		envelope, err := pkcs7.Encrypt(entity, recipients)
		if err != nil {
			return nil, fmt.Errorf("smime: %w", err)
		}
		var b bytes.Buffer
		b.WriteString("Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=\"smime.p7m\"\r\nContent-Transfer-Encoding: base64\r\n" +
			"Content-Disposition: attachment; filename=\"smime.p7m\"\r\n\r\n")
		writeBase64(&b, envelope)
		return b.Bytes(), nil
	}
}

// Chain applies functions one after the other.
func Chain(all ...Protect) Protect {
	return func(ctx context.Context, entity []byte) (_ []byte, err error) {
		for _, f := range all {
			if entity, err = f(ctx, entity); err != nil {
				return nil, err
			}
		}
		return entity, nil
	}
}

// writeBase64 writes lines of 76 (RFC 2045 s. 6.8).
func writeBase64(b *bytes.Buffer, data []byte) {
	for len(data) > 0 {
		n := min(57, len(data))
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), data[:n]))
		b.WriteString("\r\n")
		data = data[n:]
	}
}
