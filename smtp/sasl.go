package smtp

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// Mechanisms that go-sasl does not have.
const (
	xoauth2 = "XOAUTH2"
	cramMD5 = "CRAM-MD5"
)

// loginClient is LOGIN without an initial response, which old servers do not take, and without reading
// the prompts: go-sasl's insists on "Password:", and servers differ.
type loginClient struct{ answers []string }

func (c *loginClient) Start() (string, []byte, error) { return sasl.Login, nil, nil }

func (c *loginClient) Next([]byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return []byte(answer), nil
}

// cramClient is CRAM-MD5 (RFC 2195).
type cramClient struct {
	user, password string
	done           bool
}

func (c *cramClient) Start() (string, []byte, error) { return cramMD5, nil, nil }

func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.done {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	c.done = true
	mac := hmac.New(md5.New, []byte(c.password))
	mac.Write(challenge)
	return []byte(c.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// bearerClient is OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's and Microsoft's form of it). Unlike
// go-sasl's it escapes the user's name and answers the failure challenge, so that the server's own
// reply is seen.
type bearerClient struct {
	mech, initial string
	refused       func() // the token was not accepted
	failed        bool
}

func (a *Auth) bearerClient(mech, token, host string, port uint16) (*bearerClient, error) {
	// A ^A inside would begin another key (RFC 7628 s. 3.1).
	if strings.ContainsAny(a.Username+a.Identity+token+host, "\x00\x01\r\n") {
		return nil, errors.New("smtp: control character in user name, identity or token")
	}
	c := &bearerClient{mech: mech, refused: func() { a.forget(token) }}
	if mech == xoauth2 {
		c.initial = "user=" + a.Username + "\x01auth=Bearer " + token + "\x01\x01"
		return c, nil
	}
	identity := a.Identity
	if identity == "" {
		identity = a.Username
	}
	if identity != "" {
		identity = "a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(identity) // RFC 5801 s. 4
	}
	c.initial = "n," + identity + ",\x01"
	if host != "" {
		c.initial += "host=" + host + "\x01port=" + strconv.Itoa(int(port)) + "\x01"
	}
	c.initial += "auth=Bearer " + token + "\x01\x01"
	return c, nil
}

func (c *bearerClient) Start() (string, []byte, error) {
	return c.mech, []byte(c.initial), nil
}

// Next answers the one challenge there can be, which says why the token was refused (RFC 7628 s. 3.2.2).
func (c *bearerClient) Next(challenge []byte) ([]byte, error) {
	var failure struct{ Status string }
	if c.failed || json.Unmarshal(challenge, &failure) != nil {
		return nil, sasl.ErrUnexpectedServerChallenge // which is not told: it may hold the token
	}
	c.failed = true
	if c.mech == xoauth2 {
		return nil, nil // an empty line
	}
	return []byte{1}, nil
}
