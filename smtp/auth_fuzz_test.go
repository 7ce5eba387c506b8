package smtp

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzAuth answers an exchange with any lines. It must end, never show the password, and never end well
// unless the server says 235.
func FuzzAuth(f *testing.F) {
	b64 := base64.StdEncoding.EncodeToString
	f.Add(uint8(0), "334 "+b64([]byte("r=abc,s=c2FsdA==,i=4096"))+"\n235 ok")
	f.Add(uint8(1), "334 "+b64([]byte("e=invalid-proof"))+"\n535 no")
	f.Add(uint8(2), "235 ok")
	f.Add(uint8(3), "334 VXNlcm5hbWU6\n334 UGFzc3dvcmQ6\n235 ok")
	f.Add(uint8(4), "334 PDEuMUBteD4=\n535 no")
	f.Add(uint8(5), "334 "+b64([]byte(`{"status":"401"}`))+"\n535 no")
	f.Add(uint8(6), "334 \n334 \n334 ")
	all := []string{scramSHA256, scramSHA1, "PLAIN", "LOGIN", cramMD5, "OAUTHBEARER", xoauth2, "EXTERNAL"}
	f.Fuzz(func(t *testing.T, which uint8, replies string) {
		mech := all[int(which)%len(all)]
		a := &Auth{Username: "alice", Password: "s3cret-pass", Token: fixed("s3cret-token"), Mechanisms: []string{mech}}
		lines := strings.Split(replies, "\n")
		said, welcome := 0, false
		err := a.authenticate(t.Context(), []string{mech}, "mx", 25, new(tls.ConnectionState), func(line, shown string) (Reply, error) {
			if said++; said > maxChallenges+2 {
				t.Fatal("the exchange does not end")
			}
			if strings.Contains(shown, "s3cret") || strings.ContainsAny(line, "\r\n") {
				t.Fatalf("shown %q of %q", shown, line)
			}
			reply := Reply{Code: 535, Text: "no more"}
			if said <= len(lines) {
				code, text, _ := strings.Cut(lines[said-1], " ")
				reply = Reply{Code: map[string]int{"334": 334, "235": 235, "250": 250, "454": 454}[code], Text: text}
			}
			welcome = reply.Code == 235
			return reply, nil
		})
		if err == nil && (!welcome || strings.HasPrefix(mech, "SCRAM")) {
			t.Fatalf("%s: logged in by %q", mech, replies)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Fatalf("a secret is in the error: %v", err)
		}
	})
}
