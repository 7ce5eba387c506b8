package smtptest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

const (
	authOK     = "235 2.7.0 authenticated"
	authFailed = "535 5.7.8 authentication failed"
)

// mechanisms are those that this connection offers.
func (s *session) mechanisms() []string {
	var offered []string
	for _, m := range s.srv.Mechanisms {
		if s.tls == nil && (m == "EXTERNAL" || strings.HasSuffix(m, "-PLUS")) {
			continue
		}
		offered = append(offered, m)
	}
	return offered
}

// auth runs one exchange (RFC 4954 s. 4).
func (s *session) auth(line, rest string) {
	mech, initial, hasInitial := strings.Cut(rest, " ")
	mech = strings.ToUpper(mech)
	switch {
	case !slices.Contains(s.mechanisms(), mech):
		s.violation("AUTH %.40s was not offered", mech)
		s.step("AUTH", line, func() (string, func()) { return "504 5.5.4 unknown mechanism", nil })
		return
	case s.hello == "" || s.user != "" || s.open:
		s.violation("AUTH before EHLO, twice, or within a transaction")
		s.step("AUTH", line, func() (string, func()) { return "503 5.5.1 not now", nil })
		return
	case len(line) > 510: // RFC 4954 s. 4: the command line is not longer than others
		s.violation("AUTH line of %d octets", len(line))
	}
	if reply := s.script("AUTH", line); reply != "" {
		s.answer("AUTH", reply, func() { s.user = "scripted" })
		return
	}
	x := &exchange{s: s}
	if hasInitial {
		x.initial = &initial
	}
	user, err := x.run(mech)
	switch {
	case s.done:
	case err != nil:
		s.srv.record(s.id, "S", "("+err.Error()+")")
		s.answer("AUTH", authFailed, nil)
	default:
		s.answer("AUTH", authOK, func() { s.user = user })
	}
}

// exchange is the server's side of one AUTH.
type exchange struct {
	s       *session
	initial *string
}

func (x *exchange) run(mech string) (user string, err error) {
	switch mech {
	case "PLAIN":
		return x.plain()
	case "LOGIN":
		return x.login()
	case "CRAM-MD5":
		return x.cramMD5()
	case "EXTERNAL":
		return x.external()
	case "XOAUTH2", "OAUTHBEARER":
		return x.bearer(mech)
	case "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		return x.scram(mech)
	}
	return "", fmt.Errorf("mechanism %s is not built in", mech)
}

// first returns the initial response, asking for it with an empty challenge when it did not come along.
func (x *exchange) first() (string, error) {
	if x.initial == nil {
		return x.ask("")
	}
	if *x.initial == "=" {
		return "", nil
	}
	return x.decode(*x.initial)
}

// ask sends a challenge and returns the response.
func (x *exchange) ask(challenge string) (string, error) {
	x.s.send("334 " + base64.StdEncoding.EncodeToString([]byte(challenge)))
	line, err := x.s.readLine(maxAuthLine)
	if err != nil {
		x.s.done = true
		return "", err
	}
	if line == "*" {
		return "", fmt.Errorf("the client cancelled")
	}
	response, err := x.decode(line)
	if err != nil {
		return "", err
	}
	switch reply := x.s.script("RESPONSE", response); reply {
	case "":
	case Drop:
		x.s.drop()
		return "", fmt.Errorf("dropped")
	default:
		return "", fmt.Errorf("scripted: %s", reply)
	}
	return response, nil
}

func (x *exchange) decode(line string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		x.s.violation("AUTH: bad base64")
	}
	return string(decoded), err
}

func (x *exchange) check(user, password string) (string, error) {
	if want, ok := x.s.srv.Users[user]; !ok || want != password {
		return "", fmt.Errorf("wrong user or password")
	}
	return user, nil
}

func (x *exchange) plain() (string, error) { // RFC 4616
	response, err := x.first()
	if err != nil {
		return "", err
	}
	fields := strings.Split(response, "\x00")
	if len(fields) != 3 {
		x.s.violation("AUTH PLAIN with %d fields", len(fields))
		return "", fmt.Errorf("bad PLAIN")
	}
	user, err := x.check(fields[1], fields[2])
	if fields[0] != "" {
		user = fields[0]
	}
	return user, err
}

func (x *exchange) login() (string, error) {
	var user string
	var err error
	if x.initial != nil {
		user, err = x.first()
	} else {
		user, err = x.ask("Username:")
	}
	if err != nil {
		return "", err
	}
	password, err := x.ask("Password:")
	if err != nil {
		return "", err
	}
	return x.check(user, password)
}

func (x *exchange) cramMD5() (string, error) { // RFC 2195
	challenge := "<" + rand.Text() + "@" + x.s.srv.Name + ">"
	response, err := x.ask(challenge)
	if err != nil {
		return "", err
	}
	i := strings.LastIndexByte(response, ' ')
	if i < 0 {
		return "", fmt.Errorf("bad CRAM-MD5")
	}
	mac := hmac.New(md5.New, []byte(x.s.srv.Users[response[:i]]))
	mac.Write([]byte(challenge))
	if _, ok := x.s.srv.Users[response[:i]]; !ok || hex.EncodeToString(mac.Sum(nil)) != response[i+1:] {
		return "", fmt.Errorf("wrong user or password")
	}
	return response[:i], nil
}

func (x *exchange) external() (string, error) { // RFC 4422 appendix A
	identity, err := x.first()
	if err != nil {
		return "", err
	}
	if x.s.tls == nil || len(x.s.tls.VerifiedChains) == 0 {
		return "", fmt.Errorf("no client certificate")
	}
	if identity == "" {
		identity = x.s.tls.PeerCertificates[0].Subject.CommonName
	}
	return identity, nil
}

// bearer checks XOAUTH2 and OAUTHBEARER (RFC 7628), whose failure is a challenge with JSON that the client
// answers before the final reply comes.
func (x *exchange) bearer(mech string) (string, error) {
	response, err := x.first()
	if err != nil {
		return "", err
	}
	var user, token string
	gs2, rest, _ := strings.Cut(response, "\x01")
	if mech == "XOAUTH2" {
		rest = response
	} else if u, ok := strings.CutPrefix(strings.TrimSuffix(gs2, ","), "n,a="); ok {
		user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(u)
	} else if gs2 != "n,," {
		x.s.violation("OAUTHBEARER: bad GS2 header %q", gs2)
	}
	for field := range strings.SplitSeq(rest, "\x01") {
		if v, ok := strings.CutPrefix(field, "user="); ok {
			user = v
		}
		if v, ok := strings.CutPrefix(field, "auth=Bearer "); ok {
			token = v
		}
	}
	if !strings.HasSuffix(response, "\x01\x01") {
		x.s.violation("%s: the response is not ended by two ^A", mech)
	}
	for known, want := range x.s.srv.Tokens {
		if token == want && (user == known || user == "") {
			return known, nil
		}
	}
	answer, err := x.ask(`{"status":"invalid_token","schemes":"bearer"}`)
	if err == nil && answer != "\x01" && mech == "OAUTHBEARER" { // RFC 7628 s. 3.2.3
		x.s.violation("OAUTHBEARER: %q to the failure, want a single ^A", answer)
	}
	return "", fmt.Errorf("invalid token")
}
