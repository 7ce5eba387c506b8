package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

// say sends one line, without CRLF, and returns the reply to it. What shown gives instead of the line may
// be logged; the line itself holds a secret.
type say func(line, shown string) (Reply, error)

// maxChallenges bounds an exchange; SCRAM has two challenges, and one that withholds its initial
// response three.
const maxChallenges = 8

// maxInitial is the longest AUTH line: an initial response that does not fit comes after an empty challenge
// (RFC 4954 s. 4).
const maxInitial = 510

// authenticate logs in. A refusal is a *ReplyError. After any other error the connection is in an unknown
// state and must be closed.
func (a *Auth) authenticate(ctx context.Context, offered []string, host string, port uint16, cs *tls.ConnectionState, say say) error {
	mech, client, err := a.choose(ctx, offered, host, port, cs)
	if err != nil {
		return err
	}
	_, initial, err := client.Start()
	if err != nil {
		return fmt.Errorf("smtp: AUTH %s: %w", mech, err)
	}
	line, withheld := "AUTH "+mech, false
	shown := line
	if initial != nil {
		if full := line + " " + encodeResponse(initial, "="); len(full) <= maxInitial {
			line, shown = full, shown+" [secret]"
		} else {
			withheld = true
		}
	}
	reply, err := say(line, shown)
	for range maxChallenges {
		if err != nil {
			return err
		}
		if reply.Code != 334 {
			return a.outcome(mech, client, reply, host)
		}
		var response []byte
		if withheld {
			response, withheld = initial, false
		} else if response, err = next(client, reply.Text); err != nil {
			return a.cancel(mech, err, say)
		}
		reply, err = say(encodeResponse(response, ""), "[secret]")
	}
	return fmt.Errorf("smtp: AUTH %s: the server does not end the exchange", mech)
}

// next answers a challenge.
func next(client sasl.Client, challenge string) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(challenge)
	if err != nil {
		return nil, errors.New("the challenge is not base64")
	}
	return client.Next(decoded)
}

// outcome judges the last reply.
func (a *Auth) outcome(mech string, client sasl.Client, reply Reply, host string) error {
	if reply.Code != 235 {
		if b, ok := client.(*bearerClient); ok {
			b.refused()
		}
		if reply.Positive() {
			return fmt.Errorf("smtp: AUTH %s: unexpected reply %s", mech, reply)
		}
		return &ReplyError{Phase: PhaseAuth, Reply: reply, Host: host}
	}
	// A server that says 235 without its own proof may be anyone (RFC 5802 s. 3: the client authenticates
	// the server, too).
	if s, ok := client.(*scramClient); ok && !s.conversation.Valid() {
		return fmt.Errorf("smtp: AUTH %s: the server did not prove that it knows the password", mech)
	}
	return nil
}

// cancel ends an exchange that the client does not want to go on with (RFC 4954 s. 4). The reply to it is
// no judgement on the credentials, so it is not a *ReplyError.
func (a *Auth) cancel(mech string, cause error, say say) error {
	reply, err := say("*", "*")
	if reply.Code == 334 {
		reply.Text = "" // it may be anything, and nobody has looked
	}
	if err == nil {
		return fmt.Errorf("smtp: AUTH %s: %w (the server: %s)", mech, cause, reply)
	}
	return errors.Join(fmt.Errorf("smtp: AUTH %s: %w", mech, cause), err)
}

// encodeResponse encodes a response; empty is what stands for one without octets.
func encodeResponse(response []byte, empty string) string {
	if len(response) == 0 {
		return empty
	}
	return base64.StdEncoding.EncodeToString(response)
}

// secretsIn returns what of a line of AUTH is secret: its last word, and the token that it carries.
func secretsIn(line string) []string {
	secrets := []string{line[strings.LastIndexByte(line, ' ')+1:]}
	if decoded, err := base64.StdEncoding.DecodeString(secrets[0]); err == nil {
		if _, token, ok := strings.Cut(string(decoded), "auth=Bearer "); ok {
			token, _, _ = strings.Cut(token, "\x01")
			secrets = append(secrets, token)
		}
	}
	return secrets
}

// hide takes secrets out of what a server says: some say back the line that they do not like.
func hide(text []byte, secrets []string) []byte {
	for _, secret := range secrets {
		if len(secret) >= 4 && bytes.Contains(text, []byte(secret)) { // shorter ones stand in many words
			text = bytes.ReplaceAll(text, []byte(secret), []byte("[secret]"))
		}
	}
	return text
}

// hideChallenge takes the place of a challenge that carries secrets.
func hideChallenge(text []byte, secrets []string) []byte {
	decoded, err := base64.StdEncoding.DecodeString(string(text))
	if err == nil && !bytes.Equal(hide(decoded, secrets), decoded) {
		return []byte("[secret]")
	}
	return text
}
