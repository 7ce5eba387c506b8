package dkim_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider/dkim"
)

// keyService stands for the client of a key service: the private key never leaves it.
type keyService struct{ ed25519.PrivateKey }

func (r keyService) SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // a real one gives ctx to its request
	}
	return r.Sign(rand, digest, opts)
}

// A key in a key service.
func ExampleContextSigner() {
	var held dkim.ContextSigner = keyService{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	signer := dkim.Signer{
		Keys:         []dkim.Key{{Domain: "example.com", Selector: "kms", Signer: held}},
		Ed25519Alone: true,
	}
	fields, err := signer.Sign(strings.NewReader("From: Ada <ada@example.com>\r\n\r\nHello.\r\n"))
	fmt.Println(strings.Contains(string(fields), "a=ed25519-sha256"), err)
	// Output: true <nil>
}
