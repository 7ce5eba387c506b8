package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Report is a report about one message: a delivery status notification with Recipients, or a feedback
// report with a Complaint. It is a value; concurrent readers are safe.
type Report struct {
	// From and To are the addresses of the header, To being the reverse-path of the message that
	// is reported on. Empty From when writing: "MAILER-DAEMON@" and ReportingMTA.
	From, To string
	// Subject, MessageID (without angle brackets) and Date of the report itself. Zero when writing: made.
	Subject, MessageID string
	Date               time.Time
	// Text is what people read. Empty when writing: made from the fields.
	Text string

	// ReportingMTA is the name of the server that reports (RFC 3464 s. 2.2.2), without "dns;".
	ReportingMTA string
	// EnvelopeID is the ENVID that the sender gave (RFC 3461 s. 4.4).
	EnvelopeID string
	// ReceivedFrom is the server that the message came from, ArrivalDate when it came. May be zero.
	ReceivedFrom string
	ArrivalDate  time.Time
	// Recipients are the fates, one for each.
	Recipients []Recipient

	// Complaint is set in a feedback report.
	Complaint *Complaint

	// Returned is the message that is reported on, or with HeadersOnly its header. Parse keeps at most
	// 64 KiB, the header first. [Report.Return] fills it when writing. May be empty.
	Returned    []byte
	HeadersOnly bool

	// Guessed says that the report did not follow the standard and Recipients were found in its text.
	Guessed bool
}

// Recipient is the fate of one recipient (RFC 3464 s. 2.3).
type Recipient struct {
	// Address is the final recipient; Original the one that the sender gave (ORCPT). Original may be empty.
	Address, Original string
	// Action is what happened.
	Action Action
	// Status is the enhanced status code. Zero when writing: that of Diagnostic, or the general one of
	// the Action.
	Status smtp.EnhancedCode
	// RemoteMTA is the server that said so, without "dns;". Empty: the reporting one itself.
	RemoteMTA string
	// Diagnostic is what it said: a reply as "550 5.1.1 no such user", or words.
	Diagnostic string
	// LastAttempt is when it was last tried, WillRetryUntil until when it will be. May be zero.
	LastAttempt, WillRetryUntil time.Time
}

// Action is the fate of a recipient in one word (RFC 3464 s. 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"    // given up
	Delayed   Action = "delayed"   // tried again later, no answer is needed
	Delivered Action = "delivered" // in the mailbox
	Relayed   Action = "relayed"   // handed to a server that sends no notifications
	Expanded  Action = "expanded"  // handed to the members of a list
)

// Complaint is what a feedback report says (RFC 5965 s. 3). Empty fields were not given.
type Complaint struct {
	// Type is "abuse", "fraud", "virus", "not-spam", "auth-failure", "opt-out" or "other".
	Type string
	// UserAgent names the program that reports.
	UserAgent string
	// MailFrom and RcptTo are the envelope of the message that is complained about. Many providers
	// leave the recipient out: find it by the returned Message-ID.
	MailFrom string
	RcptTo   []string
	// SourceIP is the address that the message was received from.
	SourceIP netip.Addr
	// Domains are the domains that the reporter holds responsible, URIs the addresses of pages.
	Domains, URIs []string
	// AuthenticationResults are the results of SPF, DKIM and the like (RFC 8601).
	AuthenticationResults string
	// Incidents is the number of like incidents. Zero when writing: 1, not written.
	Incidents int
}

// FromResult makes the fate of a recipient out of the result of the last attempt. It is Failed when the
// result is an error, Relayed otherwise: a program that hands mail to the next server and
// sends no notification of its own about later fates says no more.
func FromResult(r smtp.Result) Recipient {
	f := Recipient{Address: r.Recipient, Action: Relayed, Status: r.Reply.Enhanced, RemoteMTA: r.Host, LastAttempt: r.Started}
	if r.Err != nil {
		f.Action = Failed
	}
	if r.Reply.Code != 0 {
		f.Diagnostic = r.Reply.String()
	} else if r.Err != nil {
		f.Diagnostic = r.Err.Error()
	}
	return f
}

// Wanted says whether the sender of a message wants to be told of an action (RFC 3461 s. 4.1, 5.2): never
// when the reverse-path is null, else by NOTIFY, which without a value means failures and delays.
func Wanted(from string, notify smtp.Notify, action Action) bool {
	if from == "" || notify&smtp.NotifyNever != 0 {
		return false
	}
	if notify == 0 {
		notify = smtp.NotifyFailure | smtp.NotifyDelay
	}
	switch action {
	case Failed:
		return notify&smtp.NotifyFailure != 0
	case Delayed:
		return notify&smtp.NotifyDelay != 0
	}
	return notify&smtp.NotifySuccess != 0
}

// maxReturned bounds what is kept of a returned message when parsing.
const maxReturned = 64 << 10

// Return fills Returned from the message: the whole of it if it has at most limit octets, else its header.
// Zero limit: always the header only, as is good manners with large messages (RFC 3461 s. 4.3).
func (r *Report) Return(message io.Reader, limit int64) error {
	br := bufio.NewReader(message)
	var head bytes.Buffer
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		if head.Len()+len(line) > maxHeader {
			return errors.New("dsn: the header of the message is too large to return")
		}
		head.Write(line)
		if err == io.EOF || len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	r.Returned, r.HeadersOnly = bytes.Clone(head.Bytes()), true
	if int64(head.Len()) > limit {
		return nil
	}
	rest, err := io.ReadAll(io.LimitReader(br, limit-int64(head.Len())+1))
	if err != nil {
		return err
	}
	if int64(head.Len()+len(rest)) <= limit {
		r.Returned, r.HeadersOnly = append(r.Returned, rest...), false
	}
	return nil
}

// maxHeader bounds the header of a message.
const maxHeader = 256 << 10

// ReturnedField returns the first header field of that name of the returned message, unfolded, or "".
func (r *Report) ReturnedField(name string) string {
	for _, f := range parseFields(r.Returned) {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// UTF8 says that the report has addresses that need SMTPUTF8 on its way.
func (r *Report) UTF8() bool { return !isASCII(r.To) || !isASCII(r.From) }

// Envelope writes the report and wraps it for delivery to its To, with the null reverse-path.
func (r *Report) Envelope() (*smtp.Envelope, error) {
	if r.To == "" {
		return nil, errors.New("dsn: the report has no addressee: mail with the null reverse-path is not reported on")
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		return nil, err
	}
	message := b.Bytes()
	return &smtp.Envelope{
		To:       smtp.Addresses(r.To),
		Size:     int64(len(message)),
		EightBit: !isASCII(string(message)),
		UTF8:     r.UTF8(),
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(message)), nil
		},
	}, nil
}

// String is the report in one line, for logs.
func (r *Report) String() string {
	if r.Complaint != nil {
		return fmt.Sprintf("complaint: %s", r.Complaint.Type)
	}
	var fates []string
	for _, f := range r.Recipients {
		fates = append(fates, fmt.Sprintf("%s %s %s", f.Address, f.Action, f.Status))
	}
	return strings.Join(fates, ", ")
}
