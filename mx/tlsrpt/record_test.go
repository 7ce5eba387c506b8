package tlsrpt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/mx/tlsrpt"
)

func TestParseRecord(t *testing.T) {
	for txt, want := range map[string]string{
		"v=TLSRPTv1; rua=mailto:a@b.test":                            "mailto:a@b.test",
		"v=TLSRPTv1;rua=mailto:a@b.test;":                            "mailto:a@b.test",
		"v=TLSRPTv1 ;\trua=mailto:a@b.test , https://b.test/x?y=z ;": "mailto:a@b.test https://b.test/x?y=z",
		"v=TLSRPTv1; x=y; rua=https://b.test:443/":                   "https://b.test:443/",
		"v=TLSRPTv1; rua=mailto:a%2Bc@b.test":                        "mailto:a%2Bc@b.test",
		"v=TLSRPTv1; rua=mailto:a@b.test?subject=x":                  "mailto:a@b.test?subject=x",
		"v=TLSRPTv1; rua=ftp://b.test,mailto:a@b.test":               "mailto:a@b.test",
		"v=TLSRPTv1; rua=mailto:a@b.test; rua=mailto:c@b.test":       "mailto:a@b.test",
		"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@b.test,", 20):  strings.TrimSpace(strings.Repeat("mailto:a@b.test ", 5)),
		"v=TLSRPTv1; rua=http://b.test/":                             "",
		"v=TLSRPTv1; rua=https://b.test:22/":                         "",
		"v=TLSRPTv1; rua=https://user:pass@b.test/":                  "",
		"v=TLSRPTv1; rua=https:///x":                                 "",
		"v=TLSRPTv1; rua=mailto:":                                    "",
		"v=TLSRPTv1; rua=mailto:a@b.test%0D%0ABcc:c@d.test":          "",
		"v=TLSRPTv1; rua=mailto:%22x%22%3Ca@b.test%3E":               "",
		"v=TLSRPTv1; rua=mailto:a@b.test%2Cc@d.test":                 "",
		"v=TLSRPTv1; rua=":                                           "",
		"v=TLSRPTv1; rua":                                            "",
		"v=TLSRPTv1":                                                 "",
		"v=TLSRPTv1;":                                                "",
		"v=TLSRPTv2; rua=mailto:a@b.test":                            "",
		"v=tlsrptv1; rua=mailto:a@b.test":                            "",
		"v=STSv1; id=1":                                              "",
		"":                                                           "",
		"v=TLSRPTv1; rua=mailto:a@b.test\x00":                        "",
		"v=TLSRPTv1; -x=y; rua=mailto:a@b.test":                      "",
		"v=TLSRPTv1;; rua=mailto:a@b.test":                           "",
	} {
		uris, err := tlsrpt.ParseRecord(txt)
		var got []string
		for _, u := range uris {
			got = append(got, u.String())
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%.80q: %q, %v, want %q", txt, got, err, want)
		}
	}
}

// FuzzParseRecord: places are only of the two kinds, and few.
func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{"v=TLSRPTv1; rua=mailto:a@b.test,https://b.test/x;", "v=TLSRPTv1;rua=mailto:a%40b@c.test", "v=TLSRPTv1; x=y", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		uris, err := tlsrpt.ParseRecord(txt)
		if (err == nil) != (len(uris) > 0) || len(uris) > 5 {
			t.Fatalf("%d places, %v", len(uris), err)
		}
		for _, u := range uris {
			if u.Scheme != "https" && u.Scheme != "mailto" || u.Scheme == "https" && (u.Hostname() == "" || u.User != nil) {
				t.Fatalf("place %q", u)
			}
			if strings.ContainsAny(u.String(), "\r\n") {
				t.Fatalf("place %q", u)
			}
		}
	})
}

func ExampleParseRecord() {
	uris, err := tlsrpt.ParseRecord("v=TLSRPTv1; rua=mailto:tlsrpt@example.com,https://example.com/tlsrpt")
	fmt.Println(uris, err)
	// Output: [mailto:tlsrpt@example.com https://example.com/tlsrpt] <nil>
}
