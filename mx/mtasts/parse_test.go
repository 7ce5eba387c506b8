package mtasts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestChooseRecord(t *testing.T) {
	for _, c := range []struct {
		txts string // separated by |
		id   string // empty: no policy
	}{
		{"v=STSv1; id=20260101000000Z;", "20260101000000Z"},
		{"v=STSv1; id=1", "1"},
		{"v=STSv1;id=1", "1"},
		{"v=STSv1 ;\tid=1 ; ", "1"},
		{"v=STSv1; a.b-c_d=x!/; id=1;", "1"},
		{"v=STSv1; id=1; id=2", "1"},
		{"v=spf1 -all|v=STSv1; id=1|v=STSv12; id=3", "1"},
		{"v=STSv1; id=" + strings.Repeat("a", 32), strings.Repeat("a", 32)},
		{"v=STSv1; id=" + strings.Repeat("a", 33), ""},
		{"v=STSv1; id=1|v=STSv1; id=1", ""},
		{"v=STSv1; id=1|v=STSv1", ""},
		{"", ""},
		{"v=STSv1", ""},
		{"v=STSv1;", ""},
		{"v=STSv1; id=", ""},
		{"v=STSv1; id=a-b", ""},
		{"v=STSv1; id=a b", ""},
		{"v=STSv1; id = a", ""},
		{"v=STSv1; ID=1", ""},
		{"V=STSv1; id=1", ""},
		{"v=stsv1; id=1", ""},
		{" v=STSv1; id=1", ""},
		{"id=1; v=STSv1", ""},
		{"v=STSv1; id=1;; x=y", ""},
		{"v=STSv1; -x=y; id=1", ""},
		{"v=STSv1; " + strings.Repeat("x", 33) + "=y; id=1", ""},
		{"v=STSv1; x; id=1", ""},
		{"v=STSv1; id=1; x=\x7f", ""},
		{"v=STSv1; id=é", ""},
	} {
		id, err := chooseRecord(strings.Split(c.txts, "|"))
		if id != c.id || (err == nil) != (c.id != "") {
			t.Errorf("%q: %q, %v, want %q", c.txts, id, err, c.id)
		}
	}
}

func TestParse(t *testing.T) {
	hour := time.Hour
	for _, c := range []struct {
		text string
		want *Document // nil: refused
	}{
		{"version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmx: *.Example.test\r\nmax_age: 3600\r\n",
			&Document{Enforce, []string{"mail.example.test", "*.example.test"}, hour}},
		{"version: STSv1\nmode: testing\nmx: a.test\nmax_age: 3600", &Document{Testing, []string{"a.test"}, hour}},
		{"mx:a.test\nmax_age:3600\nmode:testing\nversion:STSv1", &Document{Testing, []string{"a.test"}, hour}},
		{"version: STSv1  \nmode: none\t\nmax_age: 3600\n\n", &Document{None, nil, hour}},
		{"version: STSv1\nmode: none\nmx: a.test\nmax_age: 3600", &Document{None, []string{"a.test"}, hour}},
		{"version: STSv1\nmode: enforce\nmode: none\nmx: a.test\nmax_age: 3600\nmax_age: 1\nversion: STSv2", &Document{Enforce, []string{"a.test"}, hour}},
		{"version: STSv1\nmode: none\nmax_age: 9999999999\nx_1: née\n", &Document{None, nil, MaxMaxAge}},
		{"version: STSv1\nmode: none\nmax_age: 0", &Document{None, nil, 0}},
		{"version: STSv1\nmode: enforce\nmx: xn--mnchen-3ya.test\nmax_age: 3600", &Document{Enforce, []string{"xn--mnchen-3ya.test"}, hour}},
		{text: ""},
		{text: "version: STSv2\nmode: none\nmax_age: 1"},
		{text: "version: stsv1\nmode: none\nmax_age: 1"},
		{text: "mode: none\nmax_age: 1"},
		{text: "version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1"},
		{text: "version: STSv1\nmx: a.test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmax_age: 1"},
		{text: "version: STSv1\nmode: none"},
		{text: "version: STSv1\nmode: none\nmax_age: -1"},
		{text: "version: STSv1\nmode: none\nmax_age: 1e3"},
		{text: "version: STSv1\nmode: none\nmax_age: 12345678901"},
		{text: "version: STSv1\nmode: none\nmax_age:"},
		{text: "version: STSv1\nmode: enforce\nmx: a..test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: *.*.test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: m*.test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: .test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: -a.test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: münchen.test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: a.test.\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: " + strings.Repeat("a", 64) + ".test\nmax_age: 1"},
		{text: "version: STSv1\nmode: enforce\nmx: " + strings.Repeat("a.", 127) + "test\nmax_age: 1"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\nnothing"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\n-a: b"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\na b: c"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\nx: \xff"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\nx: a\x00"},
		{text: "version: STSv1\rmode: none\rmax_age: 1"},
		{text: "<html><body>It works!</body></html>"},
		{text: "version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("x: y\n", 14000)},
		{text: "version: STSv1\nmode: enforce\nmax_age: 1\n" + strings.Repeat("mx: a.test\n", 1001)},
	} {
		d, err := Parse([]byte(c.text))
		if !reflect.DeepEqual(d, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%.90q: %+v, %v, want %+v", c.text, d, err, c.want)
		}
	}
}

func TestMatch(t *testing.T) {
	d := &Document{MX: []string{"mail.example.test", "*.wild.test"}}
	for host, want := range map[string]bool{
		"mail.example.test": true, "MAIL.example.TEST": true, "mail.example.test.": true,
		"a.wild.test": true, "wild.test": false, "a.b.wild.test": false, ".wild.test": false,
		"example.test": false, "x.mail.example.test": false, "awild.test": false, "": false,
		"*.wild.test": true, // no such host exists: names of hosts are checked where they come from
	} {
		if got := d.Match(host); got != want {
			t.Errorf("Match(%q): %v, want %v", host, got, want)
		}
	}
}

// FuzzRecord: what is accepted is one record with an id, and written in its plain form it is the same.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=STSv1; id=20260101000000Z;", "v=STSv1; a=b; id=1", "v=STSv1", "", "v=STSv1;;id=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		id, err := chooseRecord([]string{txt})
		if err != nil {
			return
		}
		if !strings.HasPrefix(txt, "v=STSv1") || !strings.Contains(txt, "id="+id) {
			t.Fatalf("%q gave %q", txt, id)
		}
		if again, err := parseRecord("v=STSv1; id=" + id + ";"); again != id || err != nil {
			t.Fatalf("%q does not survive: %q %v", id, again, err)
		}
	})
}

// FuzzPolicy: what is accepted says the same when it is written and read again.
func FuzzPolicy(f *testing.F) {
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmx: *.example.test\r\nmax_age: 3600\r\n", "mail.example.test")
	f.Add("version: STSv1\nmode: none\nmax_age: 1\nx: y\n", "a")
	f.Add("version: STSv1\nmode: testing\nmx:a\nmax_age: 99999999999", "")
	f.Fuzz(func(t *testing.T, text, host string) {
		d, err := Parse([]byte(text))
		if err != nil {
			return
		}
		again, err := Parse([]byte(strings.Join(d.Text(), "\n")))
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%+v became %+v, %v", d, again, err)
		}
		if d.MaxAge > MaxMaxAge || d.MaxAge < 0 {
			t.Fatalf("max_age %v", d.MaxAge)
		}
		if d.Match(host) && !strings.Contains(strings.ToLower(text), strings.ToLower(strings.TrimSuffix(host[strings.Index(host, ".")+1:], "."))) {
			t.Fatalf("%q matches %q", host, d.MX)
		}
	})
}

func ExampleDocument_Match() {
	d, err := Parse([]byte("version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 604800\n"))
	fmt.Println(d.Mode, d.MaxAge, err)
	fmt.Println(d.Match("mx1.example.com"), d.Match("example.com"), d.Match("a.b.example.com"))
	// Output:
	// enforce 168h0m0s <nil>
	// true false false
}
