// Package inlinecss moves the rules of style elements to the elements they apply to, since many mail
// programs drop style elements. It uses go-premailer, and is a module of its own for what that brings.
//
//	Message.HTML ─► Filter ─► HTML with style attributes; media queries stay in a style element
//
// No RFC says what mail programs do with CSS; Gmail drops the style element of a mail that is forwarded, or
// that has one over 8192 octets.
package inlinecss

import (
	"context"
	"fmt"
	"strings"

	"github.com/vanng822/go-premailer/premailer"

	"github.com/postrider/postrider"
)

// most is the size of HTML that is transformed; what is larger is left as it is.
const most = 1 << 20

// Filter is a postrider.Filter: put it among the client's Filters. HTML without a style element is left as it
// is. It touches nothing but the HTML.
func Filter(_ context.Context, m *postrider.Message) error {
	if len(m.HTML) > most || !strings.Contains(strings.ToLower(m.HTML), "<style") {
		return nil
	}
	p, err := premailer.NewPremailerFromString(m.HTML, premailer.NewOptions(premailer.WithCssToAttributes(false)))
	if err != nil {
		return fmt.Errorf("inlinecss: %w", err)
	}
	page, err := p.Transform()
	if err != nil {
		return fmt.Errorf("inlinecss: %w", err)
	}
	m.HTML = page
	return nil
}
