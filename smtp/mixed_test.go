package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// keeper is a server that keeps a transaction open whose message it has refused, with its recipients, until RSET: the
// next message goes to them, too, unless the client takes care.
type keeper struct {
	extensions string
	nested     string // the reply to MAIL within a transaction
	mails      int
	mixed      []string
	delivered  map[string]int
}

func (k *keeper) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(text string) { io.WriteString(c, text+"\r\n") }
	say("220 mx")
	var open bool
	var to []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "EHLO":
			say("250-mx" + k.extensions + "\r\n250 HELP")
		case "RSET":
			open, to = false, nil
			say("250 2.0.0 ok")
		case "MAIL":
			if open {
				say(k.nested)
				continue
			}
			open = true
			say("250 2.1.0 ok")
		case "RCPT":
			if strings.Contains(rest, "no") {
				say("550 5.1.1 no")
				continue
			}
			to = append(to, strings.Trim(rest, "TO:<>"))
			say("250 2.1.5 ok")
		case "BDAT":
			var size int
			fmt.Sscan(rest, &size)
			body := make([]byte, size)
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
			if k.end(body, to, say) {
				open, to = false, nil
			}
		case "DATA":
			if len(to) == 0 {
				say("554 5.5.1 no valid recipients")
				continue
			}
			say("354 go ahead")
			var body []byte
			for !bytes.HasSuffix(body, []byte("\r\n.\r\n")) {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				body = append(body, line...)
			}
			if k.end(body, to, say) {
				open, to = false, nil
			}
		case "QUIT":
			say("221 bye")
			return
		}
	}
}

// end takes or refuses a message.
func (k *keeper) end(body []byte, to []string, say func(string)) (taken bool) {
	k.mails++
	switch {
	case len(to) == 0:
		say("554 5.5.1 no valid recipients")
		return false
	case k.mails > 2 && k.mails%3 == 0: // the first show that mails may share the connection
		say("451 4.3.0 later")
		return false
	}
	for _, address := range to {
		k.delivered[address]++
		if !bytes.Contains(body, []byte("<"+address+">")) {
			k.mixed = append(k.mixed, fmt.Sprintf("%s got %q", address, body))
		}
	}
	say("250 2.0.0 ok")
	return true
}

// TestMixed sends equal and different mails at once to a server that would give one's message to
// another's recipients.
func TestMixed(t *testing.T) {
	for _, extensions := range []string{"\r\n250-PIPELINING\r\n250-CHUNKING", "\r\n250-PIPELINING", "\r\n250-CHUNKING", ""} {
		for _, nested := range []string{"503 5.5.1 nested MAIL", "250 2.1.0 as you like"} {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{extensions: extensions, nested: nested, delivered: map[string]int{}}
				pipe := smtptest.NewPipe()
				defer pipe.Close()
				go func() {
					for {
						c, err := pipe.Accept()
						if err != nil {
							return
						}
						k.serve(c)
					}
				}()
				pool := &smtp.Pool{Hello: "client.example.test", MaxConns: 1, Dial: smtptest.Link{Delay: delay}.Dial(pipe.Dial)}
				to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
				var wait sync.WaitGroup
				var mu sync.Mutex
				fates := map[string]error{}
				for i := range 60 {
					wait.Go(func() {
						address := fmt.Sprintf("r%d@b.test", i)
						if i%7 == 3 {
							address = fmt.Sprintf("no%d@b.test", i)
						}
						body := "To: <" + address + ">\r\n\r\nprivate\r\n"
						r := pool.Deliver(context.Background(), to, envelope(fmt.Sprintf("a%d@a.test", i/20), body, address))[0]
						mu.Lock()
						defer mu.Unlock()
						fates[address] = r.Err
					})
				}
				wait.Wait()
				pool.Close(t.Context())
				for _, m := range k.mixed {
					t.Errorf("%q, %q: %s", extensions, nested, m)
				}
				got := 0
				for address, err := range fates {
					if (err == nil) != (k.delivered[address] == 1) || k.delivered[address] > 1 {
						t.Errorf("%q, %q: %s has %d copies, the result says %v", extensions, nested, address, k.delivered[address], err)
					}
					got += k.delivered[address]
				}
				if got < 20 {
					t.Errorf("%q, %q: only %d were delivered", extensions, nested, got)
				}
			})
		}
	}
}
