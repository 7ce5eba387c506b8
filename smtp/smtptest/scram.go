package smtptest

import (
	"errors"
	"sync"

	"github.com/xdg-go/scram"
)

// scramStore keeps the derived keys of users, for they are slow to derive.
type scramStore struct {
	mu   sync.Mutex
	keys map[string]scram.StoredCredentials
}

func (x *exchange) scram(mech string) (string, error) { // RFC 5802, RFC 7677
	hash := scram.SHA256
	if mech == "SCRAM-SHA-1" {
		hash = scram.SHA1
	}
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		return x.stored(mech[:min(13, len(mech))], hash, user)
	})
	if err != nil {
		return "", err
	}
	conversation, err := x.conversation(server, mech)
	if err != nil {
		return "", err
	}
	response, err := x.first()
	for err == nil {
		var challenge string
		if challenge, err = conversation.Step(response); err != nil {
			break
		}
		// The server's signature goes as a challenge that the client answers with an empty response.
		if response, err = x.ask(challenge); err == nil && conversation.Done() {
			if !conversation.Valid() || response != "" {
				return "", errors.New("SCRAM failed")
			}
			return conversation.Username(), nil
		}
	}
	return "", err
}

// conversation has a channel binding when a -PLUS mechanism is offered, so that a client which does
// not use it because somebody removed it from the offer is refused.
func (x *exchange) conversation(server *scram.Server, mech string) (*scram.ServerConversation, error) {
	plus := false
	for _, m := range x.s.mechanisms() {
		plus = plus || m == "SCRAM-SHA-256-PLUS"
	}
	if !plus {
		return server.NewConversation(), nil
	}
	binding, err := scram.NewTLSExporterBinding(x.s.tls)
	if err != nil {
		return nil, err
	}
	if mech == "SCRAM-SHA-256-PLUS" {
		return server.NewConversationWithChannelBindingRequired(binding), nil
	}
	return server.NewConversationWithChannelBinding(binding), nil
}

func (x *exchange) stored(mech string, hash scram.HashGeneratorFcn, user string) (scram.StoredCredentials, error) {
	password, ok := x.s.srv.Users[user]
	if !ok {
		return scram.StoredCredentials{}, errors.New("unknown user")
	}
	store := &x.s.srv.creds
	store.mu.Lock()
	defer store.mu.Unlock()
	if c, ok := store.keys[mech+user]; ok {
		return c, nil
	}
	client, err := hash.NewClient(user, password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of smtptest", Iters: 4096})
	if store.keys == nil {
		store.keys = make(map[string]scram.StoredCredentials)
	}
	store.keys[mech+user] = c
	return c, err
}
