package smtp

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// SCRAM (RFC 5802, RFC 7677) is xdg-go/scram's.
const (
	scramSHA1       = "SCRAM-SHA-1"
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
)

// maxIterations bounds the work that a server may ask for: a good second of one core. xdg-go/scram
// bounds it only from below.
const maxIterations = 2_000_000

// scramClients keeps the derived keys, which are slow to derive, from one connection to the next.
type scramClients struct {
	sha1, sha256 *scram.Client
	uses         int
}

// scramUses is after how many logins the keys are derived anew, for xdg-go/scram keeps those of every
// salt that a server invents.
const scramUses = 64

type scramClient struct {
	mech         string
	conversation *scram.ClientConversation
}

func (a *Auth) scramClient(mech string, offered []string, cs *tls.ConnectionState) (sasl.Client, error) {
	keys, err := a.scramKeys(mech)
	if err != nil {
		return nil, fmt.Errorf("smtp: AUTH %s: %w", mech, err)
	}
	c := &scramClient{mech: mech}
	switch {
	case mech == scramSHA256Plus:
		binding, err := channelBinding(cs)
		if err != nil {
			return nil, fmt.Errorf("smtp: AUTH %s: %w", mech, err)
		}
		c.conversation = keys.NewConversationWithChannelBinding(binding)
	case cs != nil && mech == scramSHA256 && !offers(offered, scramSHA256Plus):
		// "I would have bound the channel, but you did not offer it": the server knows if somebody
		// took the offer away (RFC 5802 s. 6).
		c.conversation = keys.NewConversationAdvertisingChannelBinding()
	default:
		c.conversation = keys.NewConversation()
	}
	return c, nil
}

func offers(offered []string, mech string) bool {
	return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, mech) })
}

// scramKeys returns the client for the hash of the mechanism.
func (a *Auth) scramKeys(mech string) (*scram.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scram.uses++; a.scram.uses > scramUses {
		a.scram = scramClients{uses: 1}
	}
	kept, hash := &a.scram.sha256, scram.SHA256
	if mech == scramSHA1 {
		kept, hash = &a.scram.sha1, scram.SHA1
	}
	if *kept != nil {
		return *kept, nil
	}
	client, err := hash.NewClient(a.Username, a.Password, a.Identity)
	if err != nil {
		// SASLprep refuses what Unicode 3.2 does not know, an emoji for one. A server that took
		// such a password did not prepare it either.
		client, err = hash.NewClientUnprepped(a.Username, a.Password, a.Identity)
	}
	*kept = client
	return client, err
}

// channelBinding ties the login to the TLS connection: tls-exporter (RFC 9266) with TLS 1.3, before it
// tls-server-end-point (RFC 5929).
func channelBinding(cs *tls.ConnectionState) (scram.ChannelBinding, error) {
	if cs.Version >= tls.VersionTLS13 {
		return scram.NewTLSExporterBinding(cs)
	}
	return scram.NewTLSServerEndpointBinding(cs)
}

func (c *scramClient) Start() (string, []byte, error) {
	first, err := c.conversation.Step("")
	return c.mech, []byte(first), err
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	if c.conversation.Done() {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	for field := range strings.SplitSeq(string(challenge), ",") {
		if n, ok := strings.CutPrefix(field, "i="); ok {
			if i, err := strconv.Atoi(n); err != nil || i > maxIterations {
				return nil, fmt.Errorf("the server wants %s iterations, more than %d", clip(n, 20), maxIterations)
			}
		}
	}
	response, err := c.conversation.Step(string(challenge))
	return []byte(response), err
}
