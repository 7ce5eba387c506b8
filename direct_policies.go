package postrider

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/memory"
	"github.com/postrider/postrider/mx/mtasts"
)

// policies are what a route is held to unless the caller says otherwise: DANE, then MTA-STS (RFC 8461 s. 2),
// then what was seen before. Base holds the trusted authorities; folder is where they keep what they know; resolver
// finds the policy hosts.
func policies(base *tls.Config, folder string, resolver mx.Resolver) []mx.Policy {
	seen := &memory.Policy{Level: mx.Encrypted, Notice: notice}
	pledged := &mtasts.Policy{TLS: base, Notice: notice, Resolver: resolver}
	if base != nil {
		seen.Roots = base.RootCAs
	}
	if folder != "" {
		seen.Path = filepath.Join(folder, "tls-seen.jsonl")
		pledged.Cache = &mtasts.File{Path: filepath.Join(folder, "mta-sts.jsonl")}
	}
	return []mx.Policy{&dane.Policy{Notice: notice}, pledged, seen}
}

// noticeKey finds the client in the context of a delivery.
type noticeKey struct{}

// notice tells the sink of the client whose mail gave rise to it, or else the log.
func notice(ctx context.Context, text string) {
	c, _ := ctx.Value(noticeKey{}).(*Client)
	switch {
	case c != nil && c.Events != nil:
		c.tell(ctx, Event{Type: EventNotice, Reason: text})
	case c != nil && c.Log != nil:
		c.Log.WarnContext(ctx, text)
	default:
		slog.WarnContext(ctx, text)
	}
}
