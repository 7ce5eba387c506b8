package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/postrider/postrider/smtp"
)

// labPath is a way to a server of the lab.
type labPath struct {
	server, env, host string
	security          smtp.Security
	auth, lmtp        bool
	tunnel            bool   // the test makes the TLS of ImplicitTLS, so that it can hide what the server offers
	hide              string // keywords of EHLO
}

// labModes are the ways to send over a connection: what is hidden from the client.
var labModes = []string{"", "CHUNKING", "CHUNKING PIPELINING"}

// labPaths are all that the servers offer.
func labPaths() (paths []labPath) {
	for _, p := range []labPath{
		{server: "Postfix", env: "LAB_POSTFIX", host: "mx1.example.test", security: smtp.Plaintext},
		{server: "Postfix", env: "LAB_POSTFIX_SMTPS", host: "mx1.example.test", security: smtp.ImplicitTLS, auth: true, tunnel: true},
		{server: "Exim", env: "LAB_EXIM", host: "mx2.example.test", security: smtp.Plaintext},
		{server: "Exim", env: "LAB_EXIM_SMTPS", host: "mx2.example.test", security: smtp.ImplicitTLS, auth: true, tunnel: true},
		{server: "OpenSMTPD", env: "LAB_OPENSMTPD", host: "mx3.example.test", security: smtp.Plaintext},
		{server: "Dovecot submission", env: "LAB_DOVECOT_SUBMISSION", host: "imap.example.test", security: smtp.Plaintext, auth: true},
		{server: "Dovecot LMTP", env: "LAB_LMTP", host: "imap.example.test", security: smtp.Plaintext, lmtp: true},
	} {
		for _, p.hide = range labModes {
			paths = append(paths, p)
		}
	}
	return append(paths, []labPath{
		{server: "Postfix", env: "LAB_POSTFIX", host: "mx1.example.test"},
		{server: "Postfix", env: "LAB_POSTFIX_SUBMISSION", host: "mx1.example.test", auth: true},
		{server: "Postfix", env: "LAB_POSTFIX_SMTPS", host: "mx1.example.test", security: smtp.ImplicitTLS, auth: true},
		{server: "Postfix, no extensions", env: "LAB_POSTFIX_OLD", host: "old.example.test", security: smtp.Opportunistic},
		{server: "Exim", env: "LAB_EXIM", host: "mx2.example.test"},
		{server: "Exim", env: "LAB_EXIM_SUBMISSION", host: "mx2.example.test", auth: true},
		{server: "Exim", env: "LAB_EXIM_SMTPS", host: "mx2.example.test", security: smtp.ImplicitTLS, auth: true},
		{server: "Dovecot submission", env: "LAB_DOVECOT_SUBMISSION", host: "imap.example.test", auth: true},
		{server: "Dovecot LMTP", env: "LAB_LMTP", host: "imap.example.test", lmtp: true},
	}...)
}

// TestLabMatrix uses, on every path to every server, each extension that is offered there, and asks for each
// that is not: the first must bring the mail, the second must be refused before anything is sent. With -v it
// prints the table.
func TestLabMatrix(t *testing.T) {
	config := labRoots(t)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "server\tsecurity\tTLS\tresumed\tbody\tin flight\t8BITMIME\tSMTPUTF8\tDSN\tSIZE\tREQUIRETLS\tBINARYMIME\tAUTH")
	for _, p := range labPaths() {
		security := [...]string{"STARTTLS", "implicit", "", "opportunistic", "none"}[p.security]
		t.Run(p.server+"/"+security+"/"+p.hide, func(t *testing.T) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.server, security, strings.Join(newLabRow(t, p, config).cells(), "\t"))
		})
	}
	w.Flush()
	t.Logf("\n%s", table.String())
}

// labRow is what one path shows.
type labRow struct {
	t        *testing.T
	path     labPath
	to       *smtp.Server
	pool     *smtp.Pool
	state    *tls.ConnectionState // of a tunnel
	box      labMailbox
	messages []string // that shall have come

	mu      sync.Mutex
	offered map[string]string // by keyword
	said    []string          // the commands of the last mail
}

func newLabRow(t *testing.T, p labPath, config *tls.Config) *labRow {
	row := &labRow{t: t, path: p, to: labServer(t, p.env, p.host, p.security), box: newMailbox(t)}
	row.to.LMTP = p.lmtp
	if p.auth {
		row.to.Auth = &smtp.Auth{Username: "alice", Password: "wonderland"}
	}
	row.pool = &smtp.Pool{Hello: "client.example.test", Trace: &smtp.Trace{
		Command: func(line string) {
			row.mu.Lock()
			defer row.mu.Unlock()
			if line != "QUIT" {
				row.said = append(row.said, line)
			}
		},
		Reply: func(r smtp.Reply) {
			row.mu.Lock()
			defer row.mu.Unlock()
			if n := len(row.said); n > 0 && strings.Contains("EHLO LHLO", row.said[n-1][:4]) {
				row.offered = map[string]string{}
				for line := range strings.Lines(r.Text) {
					keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
					row.offered[keyword] = params
				}
			}
		},
	}}
	if p.hide == "" && !p.tunnel && p.security != smtp.Plaintext {
		return row
	}
	if p.auth {
		row.to.Auth.AllowPlaintext = true // for all that the pool knows
	}
	row.to.Security = smtp.Plaintext
	row.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || !p.tunnel {
			return &masked{c, strings.Fields(p.hide)}, err
		}
		config = config.Clone()
		config.ServerName = p.host
		carrier := tls.Client(c, config)
		if err := carrier.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		state := carrier.ConnectionState()
		row.state = &state
		return &masked{carrier, strings.Fields(p.hide)}, nil
	}
	return row
}

// send delivers a message and says what became of it.
func (r *labRow) send(subject, more string, change func(*smtp.Envelope)) smtp.Result {
	r.t.Helper()
	m := labMessage(subject, more)
	e := envelope("alice@example.test", m, r.box.address())
	if change != nil {
		change(e)
	}
	r.mu.Lock()
	r.said = nil
	r.mu.Unlock()
	got := r.pool.Deliver(r.t.Context(), r.to, e)[0]
	if got.Err == nil {
		r.messages = append(r.messages, m)
	}
	return got
}

// cells fills the row.
func (r *labRow) cells() []string {
	defer r.pool.Close(context.Background())
	first := r.send("first", "", nil)
	if first.Err != nil {
		r.t.Fatal(first.Err)
	}
	if first.TLS != nil {
		r.state = first.TLS
	}
	version := "-"
	if r.state != nil {
		version = tls.VersionName(r.state.Version)
	}
	cells := []string{version, "-", r.body(), r.inFlight()}
	if first.TLS != nil {
		cells[1] = r.resumed()
	}
	for _, x := range []struct {
		keyword, more, param string
		change               func(*smtp.Envelope)
	}{
		{"8BITMIME", "Grüße\r\n", "BODY=8BITMIME", func(e *smtp.Envelope) { e.EightBit = true }},
		{"SMTPUTF8", "", "SMTPUTF8", func(e *smtp.Envelope) { e.UTF8 = true }},
		{"DSN", "", "RET=HDRS ENVID=id+2B1+3D", func(e *smtp.Envelope) { askDSN(nil, e) }},
		{"SIZE", "", "SIZE=", func(e *smtp.Envelope) {}},
		{"REQUIRETLS", "", "REQUIRETLS", func(e *smtp.Envelope) { e.RequireTLS = true }},
		{"BINARYMIME", "", "BODY=BINARYMIME", func(e *smtp.Envelope) { e.Binary = true }},
	} {
		cells = append(cells, r.extension(x.keyword, x.more, x.param, x.change))
	}
	cells = append(cells, r.mechanisms())
	r.box.expect(r.t, r.messages...)
	return cells
}

// body is the command that the message goes by. It must be the best that is offered.
func (r *labRow) body() string {
	last := r.said[len(r.said)-1]
	verb, _, _ := strings.Cut(last, " ")
	_, chunking := r.offered["CHUNKING"]
	if (verb == "BDAT") != chunking {
		r.t.Errorf("%q, CHUNKING %v", last, chunking)
	}
	return verb
}

// resumed says whether the third of three connections resumes the session of another.
func (r *labRow) resumed() string {
	pool := &smtp.Pool{Hello: r.pool.Hello, MaxIdle: -1}
	defer pool.Close(context.Background())
	resumed := "no"
	for i := range 3 {
		m := labMessage(fmt.Sprint("connection ", i), "")
		got := pool.Deliver(r.t.Context(), r.to, envelope("alice@example.test", m, r.box.address()))[0]
		if got.Err != nil {
			r.t.Fatal(got.Err)
		}
		if r.messages = append(r.messages, m); got.TLS.DidResume {
			resumed = "yes"
		}
	}
	return resumed
}

// inFlight sends some mails at once over one connection, whether it can take several or not.
func (r *labRow) inFlight() string {
	flights := 0
	pool := &smtp.Pool{Hello: r.pool.Hello, Dial: r.pool.Dial, MaxConns: 1, Trace: &smtp.Trace{Flight: func(int) { flights++ }}}
	defer pool.Close(context.Background())
	const mails = 20
	done := make(chan smtp.Result)
	for i := range mails {
		m := labMessage(fmt.Sprint("flight ", i), "")
		r.messages = append(r.messages, m)
		go func() {
			done <- pool.Deliver(r.t.Context(), r.to, envelope("alice@example.test", m, r.box.address()))[0]
		}()
	}
	for range mails {
		if got := <-done; got.Err != nil {
			r.t.Error(got.Err)
		}
	}
	if _, pipelining := r.offered["PIPELINING"]; pipelining == (flights >= 3*mails) {
		r.t.Errorf("%d flights for %d mails, PIPELINING %v", flights, mails, pipelining)
	}
	return fmt.Sprintf("%.2f", float64(flights)/mails)
}

// extension asks for an extension.
func (r *labRow) extension(keyword, more, param string, change func(*smtp.Envelope)) string {
	_, offered := r.offered[keyword]
	got := r.send("with "+keyword, more, change)
	used := slices.ContainsFunc(r.said, func(line string) bool { return strings.HasPrefix(line, "MAIL") && strings.Contains(line, " "+param) })
	lacks, _ := errors.AsType[*smtp.EnvelopeError](got.Err)
	better := keyword == "DSN" || keyword == "SIZE" || // need not be there
		keyword == "REQUIRETLS" && r.path.lmtp && r.state != nil // it is where the way ends
	switch {
	case offered && got.Err == nil && used:
		return "used"
	case !offered && better && got.Err == nil && !used:
		return "-"
	case !offered && !better && lacks != nil && lacks.Extension == keyword && !used:
		return "-"
	}
	r.t.Errorf("%s: offered %v, used %v, %v", keyword, offered, used, got.Err)
	return "FAIL"
}

// mechanisms logs in by every mechanism that is offered.
func (r *labRow) mechanisms() string {
	if !r.path.auth {
		return "-"
	}
	offered := strings.Fields(r.offered["AUTH"])
	if len(offered) == 0 {
		r.t.Errorf("no AUTH is offered: %v", r.offered)
	}
	for _, mech := range offered {
		to := *r.to
		to.Auth = &smtp.Auth{Username: "alice", Password: "wonderland", Mechanisms: []string{mech}, AllowPlaintext: r.to.Auth.AllowPlaintext}
		m := labMessage("by "+mech, "")
		if got := sendLab(r.t, r.pool, &to, envelope("alice@example.test", m, r.box.address()))[0]; got.Err != nil {
			r.t.Errorf("%s: %v", mech, got.Err)
			continue
		}
		r.messages = append(r.messages, m)
	}
	return strings.Join(offered, " ")
}
