package smtp

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func TestReplyReader(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, test := range []struct{ in, want string }{
		{"250 2.1.0 ok\r\n", "250 2.1.0 ok"},
		{"250\r\n", "250"},
		{"250 \r\n", "250"},
		{"250-\r\n250 \r\n", "250  "},
		{"250 bare LF\n", "250 bare LF"},
		{"550-no\r\n550 5.1.1 unknown\r\n", "550 5.1.1 no unknown"},
		{"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", "550 5.1.1 no such user"},
		{"550 5.1.1\r\n", "550 5.1.1"},
		{"450 5.1.1 class differs\r\n", "450 5.1.1 class differs"}, // stays text
		{"550 5.1.1234 no code\r\n", "550 5.1.1234 no code"},
		{"550 5.7.26x\r\n", "550 5.7.26x"},
		{"354 go\r\n", "354 go"},
		{"250 \x1b[2J\x00\x07\xff\xc2\x80 \u2603\tx\r\n", "250 ?[2J???? ☃ x"},
		{"250-one\r\n250 two", "unexpected EOF"},
		{"250 ok", "unexpected EOF"},
		{"", "EOF"},
		{"250-ok\r\n550 no\r\n", "malformed reply: codes 250 and 550 in one"},
		{"250 ok\r*250 ok\r\n", "malformed reply: a CR within a line"},
		{"99 ok\r\n", `malformed reply: "99 ok"`},
		{"150 ok\r\n", `malformed reply: "150 ok"`},
		{"650 ok\r\n", `malformed reply: "650 ok"`},
		{"2500 ok\r\n", `malformed reply: "0 ok" after the code`},
		{"\r\n", `malformed reply: ""`},
		{"\x16\x03\x01 TLS\r\n", `malformed reply: "\x16\x03\x01 TLS"`},
		{"250 " + long + "\r\n", "malformed reply: a line of more than 4096 octets"},
		{long, "malformed reply: a line of more than 4096 octets"},
		{strings.Repeat("250-x\r\n", 128) + "250 x\r\n", "malformed reply: more than 128 lines or 65536 octets"},
		{strings.Repeat("250-"+long[:4000]+"\r\n", 20), "malformed reply: more than 128 lines or 65536 octets"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(test.in), "octets": iotest.OneByteReader(strings.NewReader(test.in))} {
			rr := newReplyReader(r)
			err := rr.read()
			got := fmt.Sprint(err)
			if err == nil {
				got = rr.reply(mostText).String()
			}
			if got != test.want {
				t.Errorf("%s: %.80q: got %q, want %q", name, test.in, got, test.want)
			}
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 2.1.0 ok\r\n", "250-a\r\n250 b\r\n550 5.1.1 no\r\n", "354\n", "250-a\r\n550 b\r\n", "220 \xff\x00\u202e\r\n", "421 4.4.2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		rr := newReplyReader(strings.NewReader(string(in)))
		for rr.read() == nil {
			r := rr.reply(mostText)
			if r.Code < 200 || r.Code > 599 {
				t.Fatalf("code %d", r.Code)
			}
			if c := r.Enhanced; c != (EnhancedCode{}) && c[0] != r.Code/100 {
				t.Fatalf("code %d with status %s", r.Code, c)
			}
			if len(r.Text) > mostText+2*utf8.UTFMax || !utf8.ValidString(r.Text) {
				t.Fatalf("text %q", r.Text)
			}
			for _, c := range r.Text {
				if c != '\n' && !unicode.IsPrint(c) {
					t.Fatalf("control in %q", r.Text)
				}
			}
		}
	})
}

func FuzzExtensions(f *testing.F) {
	f.Add([]byte("mx\nPIPELINING\nSIZE 1000\nAUTH PLAIN LOGIN\nAUTH=LOGIN\nLIMITS MAILMAX=1 RCPTMAX=99999999999999999999"))
	f.Add([]byte("mx\nDELIVERBY 9223372036854775807\nFUTURERELEASE 1 2001-01-01T00:00:00Z\nfoo"))
	f.Fuzz(func(t *testing.T, in []byte) {
		x := parseExtensions(in)
		if x.sizeLimit < 0 || x.deliverByMin < 0 || x.holdMost < 0 || x.limits.mail < 0 || x.limits.rcpt < 0 || x.limits.domains < 0 {
			t.Fatalf("negative: %+v", x)
		}
		if len(x.auth) > 32 {
			t.Fatalf("%d mechanisms", len(x.auth))
		}
	})
}

func TestExtensions(t *testing.T) {
	x := parseExtensions([]byte("PIPELINING is not offered by the greeting\nsize 52428800\nauth plain Login\nAUTH=CRAM-MD5\nLimits RCPTMAX=10 rcptdomainmax=2 MAILMAX=0\nSTARTTLS extra"))
	want := extensions{size: true, sizeLimit: 52428800, auth: []string{"PLAIN", "LOGIN", "CRAM-MD5"}, startTLS: true, limits: limits{rcpt: 10, domains: 2}}
	if got := fmt.Sprintf("%+v", x); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %s\nwant %+v", got, want)
	}
}
