package smtp

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

// tunnelThrough asks a proxy that gives this answer, in two pieces, for a tunnel, and returns what comes through it.
func tunnelThrough(answer string, cut int) (string, error) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		bufio.NewReader(far).Peek(1)
		for _, piece := range []string{answer[:cut], answer[cut:]} {
			if _, err := io.WriteString(far, piece); err != nil {
				return
			}
		}
	}()
	d := &Dialer{Proxy: &url.URL{Scheme: "http", Host: "proxy"}}
	c, err := d.tunnel(near, "mx.example.test:25")
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// FuzzProxy has a proxy answer anything to CONNECT, in two pieces.
func FuzzProxy(f *testing.F) {
	f.Add("HTTP/1.1 200 ok\r\nVia: x\r\n\r\n220 mx\r\n", 10)
	f.Add("HTTP/1.0 200\n\n", 0)
	f.Add("HTTP/1.1 407 no\r\n\r\n", 3)
	f.Add("HTTP/1.1 200 "+strings.Repeat("x", 20000), 1)
	f.Add("\r\n\r\n", 2)
	f.Fuzz(func(t *testing.T, answer string, cut int) {
		got, err := tunnelThrough(answer, max(0, min(cut, len(answer))))
		status, rest, ended := "", answer, false
		for n := 0; ; n++ {
			line, after, more := strings.Cut(rest, "\n")
			if line = strings.TrimRight(line, "\r\n"); !more {
				break
			}
			if rest = after; n == 0 {
				status = line
			}
			if ended = line == ""; ended {
				break
			}
		}
		ok := ended && len(answer)-len(rest) <= 16<<10 && strings.HasPrefix(status, "HTTP/1.") && strings.Contains(status, " ") && strings.HasPrefix(status[strings.Index(status, " ")+1:], "2")
		if ok != (err == nil) {
			t.Errorf("%.200q: %v", answer, err)
		}
		if err == nil && got != rest {
			t.Errorf("%.200q: behind the answer there is %.200q", answer, got)
		}
	})
}
