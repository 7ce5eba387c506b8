package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// A random history: several callers send mail to one recipient or more, some alike and some not, some
// that fail or are given up, to a server that refuses, hangs up, falls silent and lies by chance, over
// connections that break. Whatever happens, each mail must have the fate that its result says, and come
// to nobody it was not meant for.

var (
	randomSeed  = flag.Uint64("random.seed", 0, "run only the history of this seed")
	randomFirst = flag.Uint64("random.first", 1, "the seed of the first random history")
	randomRuns  = flag.Uint64("random.runs", 400, "how many random histories are run")
)

func TestRandom(t *testing.T) {
	if *randomSeed != 0 {
		synctest.Test(t, func(t *testing.T) { newHistory(t, *randomSeed, false).run() })
		return
	}
	total := map[string]int{}
	for seed := *randomFirst; seed < *randomFirst+*randomRuns && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(t, seed, false)
			h.run()
			for fate, n := range h.count {
				total[fate] += n
			}
		})
	}
	t.Logf("fates: %v", total)
	for _, fate := range []string{"delivered", "failed", "unsure"} {
		if *randomRuns >= 400 && total[fate] < 100 {
			t.Errorf("only %d %s: the histories are not as varied as they should be", total[fate], fate)
		}
	}
}

// TestRandomTCP has random histories over loopback, where a write takes another way than through a pipe. Time is
// real there, so its limits are short, and nothing is expected of them.
func TestRandomTCP(t *testing.T) {
	runs := *randomRuns / 16
	if testing.Short() {
		runs = *randomRuns / 80
	}
	for seed := *randomFirst; seed < *randomFirst+runs; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newHistory(t, seed, true).run()
		})
	}
}

type history struct {
	t      *testing.T
	seed   uint64
	tcp    bool
	server *smtptest.Server
	pool   *smtp.Pool
	to     *smtp.Server

	mu    sync.Mutex
	rand  *rand.Rand
	mails []*mail
	count map[string]int

	corrupt atomic.Bool // octets may be changed on their way
}

// randomCA serves all histories.
var randomCA = sync.OnceValue(smtptest.NewCA)

type mail struct {
	id       string
	envelope *smtp.Envelope
	body     string
	broken   bool // the source fails
	ctx      context.Context
	cancel   context.CancelFunc
	results  []smtp.Result
}

func newHistory(t *testing.T, seed uint64, tcp bool) *history {
	h := &history{t: t, seed: seed, tcp: tcp, rand: rand.New(rand.NewPCG(seed, 0)), count: map[string]int{}}
	all := []string{"PIPELINING", "CHUNKING", "8BITMIME", "SIZE", "ENHANCEDSTATUSCODES", "DSN"}
	extensions := []string{}
	for _, e := range all {
		if h.chance(0.75) {
			extensions = append(extensions, e)
		}
	}
	if h.chance(0.2) {
		extensions = append(extensions, fmt.Sprintf("LIMITS RCPTMAX=%d MAILMAX=%d", 1+h.n(3), 1+h.n(4)))
	}
	security := smtp.Plaintext
	if h.chance(0.3) {
		security = []smtp.Security{smtp.StartTLS, smtp.ImplicitTLS, smtp.Encrypted, smtp.Opportunistic}[h.n(4)]
		extensions = append(extensions, "STARTTLS")
	}
	h.server = &smtptest.Server{Listener: smtptest.NewPipe(), Extensions: extensions, LMTP: h.chance(0.2), Record: true, Reply: h.reply(), Sticky: h.chance(0.3),
		CA: randomCA(), ImplicitTLS: security == smtp.ImplicitTLS}
	if security != smtp.Plaintext && security != smtp.Opportunistic && h.chance(0.4) {
		h.server.Users, h.server.AuthRequired = map[string]string{"ada": "secret"}, true
	}
	h.pool = &smtp.Pool{Hello: "client.example.test", MaxConns: 1 + h.n(3), InFlight: 1 + h.n(6), MaxMessages: 1 + h.n(20)}
	if tcp {
		h.server.Listener, h.pool.Dial = nil, h.server.Dial
		second := time.Second
		h.pool.Timeouts = smtp.Timeouts{Connect: second, Greeting: second, Command: second, Data: second, Block: second, Final: second}
	} else {
		h.pool.Dial = h.links(security)
	}
	h.to = &smtp.Server{Host: "mx.example.test", Security: security, LMTP: h.server.LMTP, TLS: randomCA().Client("mx.example.test")}
	if h.server.AuthRequired {
		h.to.Auth = &smtp.Auth{Username: "ada", Password: "secret"}
	}
	for range 1 + h.n(12) {
		h.mails = append(h.mails, h.mail())
	}
	return h
}

// links are connections of several lengths, of which some break.
func (h *history) links(security smtp.Security) func(ctx context.Context, network, address string) (net.Conn, error) {
	faults := h.chance(0.4)
	dial := smtptest.Link{Delay: time.Duration(h.n(3)) * 10 * time.Millisecond, Segment: h.n(2) * (1 + h.n(100))}.Dial(h.server.Dial)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err == nil && faults && h.chance(0.6) {
			kinds, most := []smtptest.FaultKind{smtptest.Cut, smtptest.Vanish, smtptest.Stall}, 1500
			if security != smtp.Plaintext {
				most = 5000
			}
			if security != smtp.Plaintext && security != smtp.Opportunistic {
				kinds = append(kinds, smtptest.Corrupt) // TLS must notice it
				h.corrupt.Store(true)
			}
			c = smtptest.Fault{Kind: kinds[h.n(len(kinds))], Sent: h.chance(0.5), At: int64(h.n(most))}.Conn(c)
		}
		if err == nil && h.chance(0.3) {
			c = struct{ net.Conn }{c} // without Quiet: a goroutine reads all the time
		}
		return c, err
	}
}

// chance and n are for one goroutine at a time, as a bubble that waits for nothing has it mostly; the lock
// is for the rest.
func (h *history) chance(p float64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rand.Float64() < p
}

func (h *history) n(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rand.IntN(n)
}

// reply is a server in a mood.
func (h *history) reply() func(verb, line string) string {
	mood := []float64{0, 0.02, 0.1, 0.3}[h.n(4)]
	replies := []string{"450 4.2.0 later", "451 4.3.0 later", "452 4.5.3 too many", "550 5.1.1 no", "554 5.7.1 no", "503 5.5.1 bad sequence",
		"421 4.3.2 closing", "250 2.0.0 whatever", smtptest.Drop, smtptest.Lose, smtptest.Hang, ""}
	return func(verb, line string) string {
		if !h.chance(mood) {
			return ""
		}
		<-time.After(time.Duration(h.n(100)) * time.Millisecond)
		switch reply := replies[h.n(len(replies))]; {
		case reply == "250 2.0.0 whatever" && (verb == "CONNECT" || verb == "DATA" || verb == "EHLO" || verb == "LHLO"):
			return "354 what?" // nonsense, unless it is DATA
		case verb == "QUIT", verb == "RSET" && len(reply) > 4, verb == "CONNECT" && reply == smtptest.Lose:
			return ""
		default:
			return reply
		}
	}
}

func (h *history) mail() *mail {
	m := &mail{id: fmt.Sprintf("<%d.%d@a.test>", h.seed, len(h.mails))}
	lines := h.n(20)
	if h.chance(0.05) {
		lines = 6000 // more than is held in memory
	}
	m.body = "Message-ID: " + m.id + "\r\n\r\n" + strings.Repeat(".a line of the message, which is "+m.id+"\r\n", lines)
	var to []string
	for range 1 + h.n(3) {
		to = append(to, fmt.Sprintf("r%d.%d@b.test", len(h.mails), len(to)))
	}
	m.envelope = envelope(fmt.Sprintf("sender%d@a.test", h.n(2)), m.body, to...)
	if h.chance(0.2) {
		m.envelope.Size = -1
	}
	if h.chance(0.1) {
		m.broken = true
		half := m.body[:h.n(len(m.body))]
		m.envelope.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(half), iotest.ErrReader(errors.New("disk")))), nil
		}
	}
	m.ctx, m.cancel = context.WithCancel(h.t.Context())
	if h.chance(0.15) {
		m.cancel()
		m.ctx, m.cancel = context.WithTimeout(h.t.Context(), time.Duration(h.n(300))*time.Millisecond)
	}
	return m
}

func (h *history) run() {
	h.server.Start()
	if !h.tcp {
		defer time.Sleep(time.Second) // what is under way on the link arrives
	}
	defer h.server.Close()
	begin := time.Now()
	var wg sync.WaitGroup
	spread := []int{1, 1, 50, 200}[h.n(4)]
	for _, m := range h.mails {
		pause := time.Duration(h.n(spread)) * time.Millisecond
		wg.Go(func() {
			defer m.cancel()
			<-time.After(pause)
			m.results = h.pool.Deliver(m.ctx, h.to, m.envelope)
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > 4*time.Hour {
		h.errorf("took %v", took)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Hour)
	defer cancel()
	if err := h.pool.Close(ctx); err != nil {
		h.errorf("Close: %v", err)
	}
	if h.tcp {
		h.server.Close()
	} else {
		synctest.Wait()
	}
	for _, m := range h.mails {
		h.judge(m)
	}
	for _, v := range h.server.Violations() {
		if h.corrupt.Load() {
			continue // the client said something else
		}
		h.errorf("the client broke the protocol: %s", v)
	}
}

// judge compares what the results say with what the server has.
func (h *history) judge(m *mail) {
	copies := map[string]int{}
	for _, got := range h.server.Messages() {
		if !bytes.Contains(got.Data, []byte(m.id)) {
			continue
		}
		if string(got.Data) != m.body {
			h.errorf("%s: came as %d octets of %d", m.id, len(got.Data), len(m.body))
		}
		if got.From != m.envelope.From {
			h.errorf("%s: came from %s, not %s", m.id, got.From, m.envelope.From)
		}
		for _, to := range got.To {
			copies[to]++
			if !slices.ContainsFunc(m.envelope.To, func(r smtp.Recipient) bool { return r.Address == to }) {
				h.errorf("%s: came to %s, who is none of its recipients", m.id, to)
			}
		}
	}
	for i, r := range m.results {
		n, unsure := copies[r.Recipient], errors.Is(r.Err, smtp.ErrUnsure)
		fate := "failed"
		switch {
		case r.Recipient != m.envelope.To[i].Address || r.Phase == "":
			h.errorf("%s: result %d is %+v", m.id, i, r)
		case unsure:
			fate = "unsure"
		case r.Err == nil:
			fate = "delivered"
		}
		h.count[fate]++
		if n > 1 || n == 0 && fate == "delivered" || n > 0 && fate == "failed" || m.broken && fate != "failed" {
			h.errorf("%s: %s has %d copies, the result says %s: %v", m.id, r.Recipient, n, fate, r.Err)
		}
	}
}

func (h *history) errorf(format string, args ...any) {
	h.t.Errorf("seed %d: "+format, append([]any{h.seed}, args...)...)
	if !h.t.Failed() || h.server.Transcript() != "" && len(h.count) < 1000 {
		h.count["told"]++
		if h.count["told"] == 1 {
			h.t.Logf("extensions %q\n%s", h.server.Extensions, h.server.Transcript())
		}
	}
}
