package smtptest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

const stream = "abcdefghij"

// across sends stream through a faulty connection and returns what arrived and how both sides ended.
func across(f smtptest.Fault) (arrived string, sent, received error) {
	a, b := net.Pipe()
	from, to := a, b
	if f.Sent {
		from = f.Conn(a)
	} else {
		to = f.Conn(b)
	}
	done := make(chan error)
	go func() {
		from.SetDeadline(time.Now().Add(time.Minute))
		_, err := io.WriteString(from, stream)
		from.Close()
		done <- err
	}()
	to.SetDeadline(time.Now().Add(time.Hour))
	var got bytes.Buffer
	_, received = io.Copy(&got, to)
	to.Close()
	return got.String(), <-done, received
}

func TestFaultAtEveryOctet(t *testing.T) {
	for _, sentSide := range []bool{true, false} {
		for at := range int64(len(stream)) {
			synctest.Test(t, func(t *testing.T) {
				fault := smtptest.Fault{Sent: sentSide, At: at}

				got, sent, received := across(fault)
				if got != stream[:at] || !errors.Is(errors.Join(sent, received), smtptest.ErrCut) {
					t.Errorf("cut %v %d: %q, %v, %v", sentSide, at, got, sent, received)
				}

				fault.Kind = smtptest.Corrupt
				want := []byte(stream)
				want[at] ^= 0x20
				if got, sent, received := across(fault); got != string(want) || sent != nil || received != nil {
					t.Errorf("corrupt %v %d: %q, %v, %v", sentSide, at, got, sent, received)
				}

				fault.Kind = smtptest.Stall
				got, sent, received = across(fault)
				var timeout net.Error
				if got != stream[:at] || !errors.As(errors.Join(sent, received), &timeout) || !timeout.Timeout() {
					t.Errorf("stall %v %d: %q, %v, %v", sentSide, at, got, sent, received)
				}
			})
		}
	}
	got, sent, received := across(smtptest.Fault{Sent: true, At: 4, Kind: smtptest.Vanish})
	if got != "abcd" || sent != nil || received != nil {
		t.Errorf("vanish: %q, %v, %v", got, sent, received)
	}
}

func TestLinkDelaysAndCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe()})
		link := smtptest.Link{Delay: 20 * time.Millisecond, Segment: 3}
		begin := time.Now()
		raw, err := link.Dial(s.Dial)(t.Context(), "tcp", "mx:25")
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t, raw, newReader(raw)}
		defer c.Close()
		c.want("", "220")
		c.want("EHLO a.test\r\n", "250")
		c.want("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 4 LAST\r\nhi\r\n", "250", "250", "250")
		// One for the connection, half of one for the greeting, and two flights.
		if d := time.Since(begin); d != 140*time.Millisecond {
			t.Errorf("took %v, want 140ms", d)
		}
		smtptest.Expect(t, s, 1)
	})
}
