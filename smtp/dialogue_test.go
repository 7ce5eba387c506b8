package smtp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

const short = "Subject: x\r\n\r\n.two\r\n\r\n" // 22 octets

// fates says in one line for each recipient what became of the mail.
func fates(results []smtp.Result) string {
	var b strings.Builder
	for _, r := range results {
		fate := "ok"
		var temporary interface{ Temporary() bool }
		switch {
		case errors.Is(r.Err, smtp.ErrUnsure):
			fate = "unsure"
		case errors.As(r.Err, &temporary):
			fate = map[bool]string{true: "temporary", false: "permanent"}[temporary.Temporary()]
		case r.Err != nil:
			fate = r.Err.Error()
		}
		name, _, _ := strings.Cut(r.Recipient, "@")
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", name, r.Phase, fate, r.Reply)))
	}
	return b.String()
}

// dialogues are files in testdata/dialogue and what is sent to them, step by step.
var dialogues = []struct {
	file  string
	steps []step
}{
	{"bdat", []step{one("b final ok 250 2.0.0 queued\nc rcpt permanent 550 5.1.1 the text no such user", "b", "c"), one("b final ok 250 ok", "b")}},
	{"data", []step{one("b final permanent 554 5.7.1 no spam here", "b"), one("b final ok 250 ok", "b")}},
	{"lockstep", []step{one("b mail temporary 451 4.3.0 later", "b"), one("b rcpt permanent 550 5.1.1 no", "b"),
		one("b final ok 250 ok\nc rcpt temporary 450 4.2.0 not now", "b", "c")}},
	{"helo", []step{one("b final ok 250 ok", "b")}},
	{"lonedot", []step{one("b rcpt permanent 550 5.1.1 no", "b"), one("b final ok 250 ok", "b")}},
	{"nosender", []step{one("b mail permanent 550 5.1.8 no", "b")}},
	{"nobdat", []step{one("b final ok 250 ok", "b"), one("b final ok 250 ok", "b")}},
	{"nopipelining", []step{one("b final ok 250 ok", "b")}},
	{"improper", []step{one("b final ok 250 ok", "b")}},
	{"forgotten", []step{one("b final ok 250 ok", "b"), pause(29 * time.Minute), one("b final ok 250 ok", "b"), pause(2 * time.Minute), one("b final ok 250 ok", "b")}},
	{"forgiven", []step{one("b final ok 250 ok", "b"), pause(29 * time.Minute), one("b final ok 250 ok", "b"), pause(2 * time.Minute), one("b final ok 250 ok", "b")}},
	{"idle421", []step{one("b final ok 250 ok", "b"), one("b final ok 250 ok", "b")}},
	{"closed", []step{one("b final ok 250 ok", "b"), pause(2 * time.Second), one("b final ok 250 ok", "b")}},
	{"rcpt421", []step{one("b rcpt permanent 550 5.1.1 no\nc rcpt temporary 421 4.3.2 closing", "b", "c")}},
	{"unsure", []step{one("b final unsure\nc rcpt permanent 550 5.1.1 no", "b", "c")}},
	{"lost", []step{one("b data temporary", "b")}},
	{"injected", []step{with(one("b tls temporary", "b"), func(s *smtp.Server) { s.Security = smtp.Opportunistic })}},
	{"fallback", []step{with(one("b final ok 250 ok", "b"), func(s *smtp.Server) { s.Security = smtp.Opportunistic })}},
	{"starttls", []step{with(one("b local permanent", "b"), func(s *smtp.Server) { s.Security = smtp.Encrypted })}},
	{"params", []step{asking(one("b final ok 250 ok\nü final ok 250 ok\nd final ok 250 ok", "b", "ü", "d"))}},
	{"toomany", []step{one("b final ok 250 ok\nc final ok 250 ok\nd rcpt temporary 452 4.2.2 mailbox full", "b", "c", "d")}},
	{"lmtp", []step{with(one("b final ok 250 2.0.0 b\nc rcpt permanent 550 5.1.1 no\nd final temporary 452 4.2.2 d is over quota\ne final unsure", "b", "c", "d", "e"),
		func(s *smtp.Server) { s.LMTP = true })}},
	{"nextflight", []step{one("b final ok 250 ok", "b"), together(one("b final ok 250 ok", "b"), from("a2@a.test", one("c final ok 250 ok", "c")))}},
	{"nextrefused", []step{one("b final ok 250 ok", "b"), refusedThen("b final permanent 554 5.6.0 no such mail here"), refusedThen("b final permanent 554 5.6.0 no such mail here"),
		pause(31 * time.Minute), refusedThen("b final ok 250 ok")}},
	{"nested", []step{one("b final ok 250 ok", "b"), together(one("b final ok 250 ok", "b"), one("c final ok 250 ok", "c")), together(one("no rcpt permanent 550 5.1.1 no", "no"), one("c final ok 250 2.0.0 taken", "c"),
		from("other@a.test", one("d final ok 250 2.0.0 taken", "d")), one("e rcpt permanent 550 5.1.1 no", "e"), one("f final ok 250 2.0.0 taken", "f"))}},
}

// step is what a test does to a pool: deliver an envelope, deliver several at once, or wait.
type step struct {
	envelope *smtp.Envelope
	want     string
	server   func(*smtp.Server)
	together []step
	pause    time.Duration
}

func one(want string, to ...string) step {
	for i := range to {
		to[i] += "@b.test"
	}
	return step{envelope: envelope("a@a.test", short, to...), want: want + "\n"}
}

func from(sender string, s step) step {
	s.envelope.From = sender
	return s
}

func asking(s step) step {
	e := s.envelope
	e.EightBit, e.UTF8, e.Return, e.EnvelopeID, e.Priority = true, true, smtp.ReturnHeaders, "id+=1", -3
	// A bubble begins at midnight UTC of 2000-01-01.
	e.DeliverBy = time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)
	e.HoldUntil = e.DeliverBy
	e.To[0].Notify, e.To[0].Original = smtp.NotifySuccess|smtp.NotifyDelay, "x+y@b.test"
	e.To[1].Notify, e.To[1].Original = smtp.NotifyNever, "ü@b.test"
	return s
}

func with(s step, server func(*smtp.Server)) step {
	s.server = server
	return s
}

func refusedThen(want string) step {
	return together(one(want, "b"), from("a2@a.test", one("c final ok 250 ok", "c")))
}

func together(steps ...step) step { return step{together: steps} }
func pause(d time.Duration) step  { return step{pause: d} }

func TestDialogues(t *testing.T) {
	for _, test := range dialogues {
		t.Run(test.file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := &smtp.Pool{Hello: "c.test", MaxConns: 1, IdleTime: time.Hour, Dial: smtptest.Link{}.Dial(smtptest.Dialogue(t, nil, "testdata/dialogue/"+test.file+".smtp"))}
				for _, s := range test.steps {
					s.run(t, pool)
				}
				if err := pool.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func (s step) run(t *testing.T, pool *smtp.Pool) {
	time.Sleep(s.pause)
	for _, s := range s.together {
		go s.run(t, pool)
		synctest.Wait()
	}
	if s.together != nil {
		time.Sleep(time.Minute)
	}
	if s.envelope == nil {
		return
	}
	to := &smtp.Server{Host: "mx.b.test", Security: smtp.Plaintext}
	if s.server != nil {
		s.server(to)
	}
	results := pool.Deliver(t.Context(), to, s.envelope)
	if got := fates(results); got != s.want {
		t.Errorf("got:\n%swant:\n%s", got, s.want)
		for _, r := range results {
			t.Logf("%s: %v", r.Recipient, r.Err)
		}
	}
}
