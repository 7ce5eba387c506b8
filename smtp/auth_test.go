package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/postrider/postrider/smtp/smtptest"
)

// login is the least client that can log in at an smtptest.Server, over TLS when it is offered. It
// returns the lines as they may be logged.
func login(t *testing.T, s *smtptest.Server, a *Auth) (shown []string, err error) {
	t.Helper()
	c, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.Close() }()
	r := bufio.NewReader(c)
	var offered []string
	say := func(line, show string) (Reply, error) {
		shown = append(shown, show)
		if line != "" || show != "" {
			fmt.Fprintf(c, "%s\r\n", line)
		}
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				return Reply{}, err
			}
			text = strings.TrimSuffix(text, "\r\n")
			if mechs, ok := strings.CutPrefix(text[4:], "AUTH "); ok {
				offered = strings.Fields(mechs)
			}
			if text[3] == ' ' {
				code, _ := strconv.Atoi(text[:3])
				return Reply{Code: code, Text: text[4:]}, nil
			}
		}
	}
	must := func(line string, code int) {
		t.Helper()
		reply, err := say(line, line)
		if err != nil || reply.Code != code {
			t.Fatalf("%s: %v, %v", line, reply, err)
		}
	}
	must("", 220)
	must("EHLO a.test", 250)
	var state *tls.ConnectionState
	if !slices.Contains(s.Extensions, "notls") {
		must("STARTTLS", 220)
		config := s.TLSClient()
		a.certificate(config)
		config.MaxVersion = s.TLS.MaxVersion
		upgraded := tls.Client(c, config)
		if err := upgraded.Handshake(); err != nil {
			t.Fatal(err)
		}
		c, r = upgraded, bufio.NewReader(upgraded)
		must("EHLO a.test", 250)
		cs := upgraded.ConnectionState()
		state = &cs
	}
	shown = nil
	return shown, a.authenticate(t.Context(), offered, s.Name, 587, state, say)
}

// authServer knows all users of these tests.
func authServer(t *testing.T, change func(*smtptest.Server)) *smtptest.Server {
	ca := smtptest.NewCA()
	s := &smtptest.Server{
		Listener: smtptest.NewPipe(), Name: "mx.example.test", CA: ca, TLS: ca.Server("mx.example.test"), Record: true,
		Users:  map[string]string{"alice": "wonderland", "carol": "pässwörd ☃", "a,b=c": "x", "emoji": "😀 pass"},
		Tokens: map[string]string{"alice": "t0ken", "carol": "tok", "a,b=c": strings.Repeat("long", 500)},
		Mechanisms: []string{"EXTERNAL", "OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256",
			"SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"},
	}
	if change != nil {
		change(s)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func fixed(token string) func(context.Context) (string, time.Time, error) {
	return func(context.Context) (string, time.Time, error) { return token, time.Time{}, nil }
}

func TestAuthEveryMechanism(t *testing.T) {
	for _, mech := range []string{"EXTERNAL", "OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256",
		"SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"} {
		for _, user := range []string{"alice", "carol", "a,b=c"} {
			t.Run(mech+"/"+user, func(t *testing.T) {
				s := authServer(t, nil)
				a := &Auth{Username: user, Password: s.Users[user], Mechanisms: []string{mech}}
				switch mech {
				case "EXTERNAL":
					certificate := s.CA.Certificate(user)
					a.Certificate = &certificate
				case "XOAUTH2", "OAUTHBEARER":
					a.Token = fixed(s.Tokens[user])
				}
				shown, err := login(t, s, a)
				if err != nil {
					t.Fatalf("%v\n%s", err, s.Transcript())
				}
				smtptest.NoViolations(t, s)
				if all := strings.Join(shown, " "); strings.Contains(all, a.Password) ||
					strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(a.Password))) {
					t.Errorf("the secret is shown: %s", all)
				}
			})
		}
	}
}

func TestAuthRefused(t *testing.T) {
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"} {
		s := authServer(t, nil)
		a := &Auth{Username: "alice", Password: "wr0ng-secret", Token: fixed("wr0ng-secret"), Mechanisms: []string{mech}}
		_, err := login(t, s, a)
		var refusal *ReplyError
		if !errors.As(err, &refusal) || refusal.Reply.Code != 535 || refusal.Phase != PhaseAuth {
			t.Errorf("%s: %v, want a 535", mech, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), "wr0ng-secret") {
			t.Errorf("%s: the secret is in the error: %v", mech, err)
		}
		smtptest.NoViolations(t, s)
	}
}

func TestAuthChoosesTheSafest(t *testing.T) {
	all := []string{"LOGIN", "plain", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "NTLM"}
	cs := &tls.ConnectionState{Version: tls.VersionTLS12}
	s := authServer(t, nil)
	certificate := s.CA.Certificate("alice")
	cs.PeerCertificates = append(cs.PeerCertificates, certificate.Leaf)
	password := &Auth{Username: "alice", Password: "wonderland"}
	for _, test := range []struct {
		auth    *Auth
		offered []string
		want    string
	}{
		{&Auth{Certificate: &certificate, Password: "x", Token: fixed("t")}, all, "EXTERNAL"},
		{&Auth{Password: "x", Token: fixed("t")}, all, "OAUTHBEARER"},
		{&Auth{Password: "x", Token: fixed("t")}, []string{"XOAUTH2", "PLAIN"}, "XOAUTH2"},
		{&Auth{Password: "x", Token: fixed("t")}, []string{"PLAIN"}, "PLAIN"},
		{password, all, "SCRAM-SHA-256-PLUS"},
		{password, all[:5], "SCRAM-SHA-256"},
		{password, all[:4], "SCRAM-SHA-1"},
		{password, all[:3], "PLAIN"},
		{password, all[:1], "LOGIN"},
		{password, []string{"CRAM-MD5", "NTLM"}, ""},
		{password, nil, ""},
		{&Auth{}, all, ""},
		{&Auth{Username: "a", Password: "x", Identity: "b"}, []string{"LOGIN", "CRAM-MD5"}, ""},
		{&Auth{Password: "x", Mechanisms: []string{"CRAM-MD5"}}, all, "CRAM-MD5"},
		{&Auth{Password: "x", Mechanisms: []string{"login", "PLAIN"}}, all, "LOGIN"},
	} {
		mech, client, err := test.auth.choose(t.Context(), test.offered, "mx", 587, cs)
		if mech != test.want || (err == nil) != (test.want != "") || (client == nil) != (test.want == "") {
			t.Errorf("%q: chose %q (%v), want %q", test.offered, mech, err, test.want)
		}
		if test.want == "" && !errors.Is(err, errNoMechanism) {
			t.Errorf("%q: %v", test.offered, err)
		}
	}
}

func TestAuthNeverOverPlaintext(t *testing.T) {
	a := &Auth{Username: "alice", Password: "wonderland", Token: fixed("t")}
	s := authServer(t, func(s *smtptest.Server) { s.Extensions = []string{"notls"} })
	shown, err := login(t, s, a)
	if !errors.Is(err, errPlaintextAuth) || len(shown) != 0 {
		t.Errorf("%v, said %q", err, shown)
	}
	if strings.Contains(s.Transcript(), "C: AUTH") {
		t.Error(s.Transcript())
	}
	a = &Auth{Username: "alice", Password: "wonderland", AllowPlaintext: true}
	if _, err := login(t, s, a); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.Transcript(), "C: AUTH SCRAM-SHA-256 ") {
		t.Error(s.Transcript())
	}
}

func TestAuthTLS12Binding(t *testing.T) {
	// The server of the kit binds by tls-exporter, so with TLS 1.2 the login must fail, and say which
	// binding was used.
	s := authServer(t, func(s *smtptest.Server) {
		s.TLS.MaxVersion = tls.VersionTLS12
	})
	a := &Auth{Username: "alice", Password: "wonderland", Mechanisms: []string{"SCRAM-SHA-256-PLUS"}}
	if _, err := login(t, s, a); err == nil {
		t.Error("bound by tls-exporter in TLS 1.2")
	}
	if !strings.Contains(s.Transcript(), base64.StdEncoding.EncodeToString([]byte("p=tls-server-end-point,,"))[:28]) {
		t.Error(s.Transcript())
	}
}

func TestAuthStrippedOffer(t *testing.T) {
	// Somebody on the way has removed SCRAM-SHA-256-PLUS from the offer: the server sees it.
	s := authServer(t, nil)
	a := &Auth{Username: "alice", Password: "wonderland"}
	cs := &tls.ConnectionState{}
	c, err := a.scramClient(scramSHA256, []string{"SCRAM-SHA-256"}, cs)
	if err != nil {
		t.Fatal(err)
	}
	if _, first, _ := c.Start(); !strings.HasPrefix(string(first), "y,,") {
		t.Errorf("%q, want the flag y", first)
	}
	c, _ = a.scramClient(scramSHA256, s.Mechanisms, cs)
	if _, first, _ := c.Start(); !strings.HasPrefix(string(first), "n,,") {
		t.Errorf("%q, want the flag n", first)
	}
}

func TestAuthUnprepared(t *testing.T) {
	a := &Auth{Username: "emoji", Password: "😀 pass"}
	if _, err := a.scramClient(scramSHA1, nil, nil); err != nil {
		t.Errorf("a password that SASLprep does not know: %v", err)
	}
}

// TestAuthHostileServer plays servers that cheat; no exchange may succeed or go on for ever.
func TestAuthHostileServer(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	cs := &tls.ConnectionState{}
	for _, test := range []struct {
		name, mech string
		answer     func(n int, line string) Reply
	}{
		{"scram without proof", "SCRAM-SHA-256", func(n int, line string) Reply {
			if n == 0 {
				raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
				_, nonce, _ := strings.Cut(string(raw), "r=")
				return Reply{Code: 334, Text: b64("r=" + nonce + "x,s=" + b64("salt") + ",i=4096")}
			}
			return Reply{Code: 235, Text: "welcome"}
		}},
		{"scram at once", "SCRAM-SHA-256", func(int, string) Reply { return Reply{Code: 235} }},
		{"a billion iterations", "SCRAM-SHA-256", func(n int, line string) Reply {
			if n == 0 {
				raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
				_, nonce, _ := strings.Cut(string(raw), "r=")
				return Reply{Code: 334, Text: b64("r=" + nonce + "x,s=" + b64("salt") + ",i=1000000000")}
			}
			return Reply{Code: 501}
		}},
		{"one iteration", "SCRAM-SHA-1", func(n int, line string) Reply {
			if n == 0 {
				raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
				_, nonce, _ := strings.Cut(string(raw), "r=")
				return Reply{Code: 334, Text: b64("r=" + nonce + "x,s=" + b64("salt") + ",i=1")}
			}
			return Reply{Code: 501}
		}},
		{"endless plain", "PLAIN", func(int, string) Reply { return Reply{Code: 334} }},
		{"endless login", "LOGIN", func(int, string) Reply { return Reply{Code: 334, Text: b64("Password:")} }},
		{"endless bearer", "OAUTHBEARER", func(int, string) Reply { return Reply{Code: 334, Text: b64("{}")} }},
		{"garbage", "CRAM-MD5", func(int, string) Reply { return Reply{Code: 334, Text: "%%%"} }},
		{"250", "PLAIN", func(int, string) Reply { return Reply{Code: 250} }},
		{"354", "PLAIN", func(int, string) Reply { return Reply{Code: 354} }},
	} {
		a := &Auth{Username: "alice", Password: "secret", Token: fixed("t"), Mechanisms: []string{test.mech}}
		var lines []string
		err := a.authenticate(t.Context(), []string{test.mech}, "mx", 25, cs, func(line, shown string) (Reply, error) {
			lines = append(lines, line)
			return test.answer(len(lines)-1, line), nil
		})
		var refusal *ReplyError
		if err == nil || errors.As(err, &refusal) || len(lines) > maxChallenges+1 {
			t.Errorf("%s: %v after %d lines", test.name, err, len(lines))
		}
	}
}

func TestAuthTokenOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		a := &Auth{Username: "alice", Token: func(ctx context.Context) (string, time.Time, error) {
			calls++
			<-time.After(10 * time.Second)
			if calls == 3 {
				return "", time.Time{}, errors.New("identity provider is down")
			}
			return fmt.Sprint("token", calls), time.Now().Add(time.Hour), nil
		}}
		ask := func() (tokens map[string]int) {
			tokens = make(map[string]int)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					token, err := a.token(t.Context())
					mu.Lock()
					defer mu.Unlock()
					tokens[fmt.Sprint(token, err)]++
				})
			}
			wg.Wait()
			return tokens
		}
		// A caller that gives up does not take the others' token away.
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.token(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded", err)
		}
		if got := ask(); got["token1<nil>"] != 1000 || calls != 1 {
			t.Errorf("%v after %d calls", got, calls)
		}
		<-time.After(58*time.Minute + 30*time.Second)
		if got := ask(); got["token1<nil>"] != 1000 {
			t.Errorf("a token with more than a minute left is fetched again: %v", got)
		}
		<-time.After(time.Minute)
		if got := ask(); got["token2<nil>"] != 1000 || calls != 2 {
			t.Errorf("%v after %d calls", got, calls)
		}
		a.forget("another")
		a.forget("token2")
		if got := ask(); got["identity provider is down"] != 1000 || calls != 3 {
			t.Errorf("%v after %d calls", got, calls)
		}
		if got := ask(); got["token4<nil>"] != 1000 || calls != 4 {
			t.Errorf("%v after %d calls", got, calls)
		}
	})
}

func TestAuthRefusedTokenIsForgotten(t *testing.T) {
	s := authServer(t, nil)
	tokens := []string{"revoked", "t0ken"}
	a := &Auth{Username: "alice", Token: func(context.Context) (string, time.Time, error) {
		token := tokens[0]
		tokens = tokens[1:]
		return token, time.Now().Add(time.Hour), nil
	}}
	if _, err := login(t, s, a); err == nil {
		t.Error("a revoked token was accepted")
	}
	if _, err := login(t, s, a); err != nil {
		t.Errorf("with the second token: %v", err)
	}
	if _, err := login(t, s, a); err != nil {
		t.Errorf("with the kept token: %v", err)
	}
}

// TestAuthGoSASL has the mechanisms meet the servers of go-sasl.
func TestAuthGoSASL(t *testing.T) {
	token := &Auth{Username: "alice", Identity: "boss", Token: fixed("t0ken")}
	bearer, _ := token.bearerClient(sasl.OAuthBearer, "t0ken", "mx", 587)
	for _, test := range []struct {
		client sasl.Client
		server sasl.Server
	}{
		{bearer, sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if o != (sasl.OAuthBearerOptions{Username: "boss", Token: "t0ken", Host: "mx", Port: 587}) {
				t.Errorf("%+v", o)
			}
			return nil
		})},
		{sasl.NewPlainClient("boss", "alice", "pässwörd ☃"), sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "boss" || user != "alice" || password != "pässwörd ☃" {
				t.Errorf("%q %q %q", identity, user, password)
			}
			return nil
		})},
	} {
		mech, initial, err := test.client.Start()
		if err != nil {
			t.Fatal(err)
		}
		if _, done, err := test.server.Next(initial); !done || err != nil {
			t.Errorf("%s: %v, %v", mech, done, err)
		}
	}
}
