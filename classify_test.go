package postrider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/smtp"
)

func refused(phase smtp.Phase, code int, enhanced ...int) smtp.Result {
	reply := smtp.Reply{Code: code, Text: "no"}
	if len(enhanced) == 3 {
		reply.Enhanced = smtp.EnhancedCode(enhanced)
	}
	return smtp.Result{Recipient: "bob@example.org", Phase: phase, Reply: reply, Err: &smtp.ReplyError{Phase: phase, Reply: reply}}
}

func failed(phase smtp.Phase, err error) smtp.Result {
	return smtp.Result{Recipient: "bob@example.org", Phase: phase, Err: err}
}

// The table of fates: what a result means is decided here and nowhere else.
func TestClassify(t *testing.T) {
	tests := []struct {
		result smtp.Result
		want   string
	}{
		{smtp.Result{Reply: smtp.Reply{Code: 250}}, "delivered 2.0.0"},
		{smtp.Result{Reply: smtp.Reply{Code: 250, Enhanced: smtp.EnhancedCode{2, 6, 0}}}, "delivered 2.6.0"},
		{smtp.Result{Reply: smtp.Reply{Code: 250, Enhanced: smtp.EnhancedCode{5, 6, 0}}}, "delivered 2.0.0"},

		{refused(smtp.PhaseGreeting, 421), "temporary 4.3.2"},
		{refused(smtp.PhaseGreeting, 554), "permanent 5.3.2"},
		{refused(smtp.PhaseHello, 502), "permanent 5.5.0 ours"},
		{refused(smtp.PhaseTLS, 454, 4, 7, 0), "temporary 4.7.0 ours"},
		{refused(smtp.PhaseAuth, 535, 5, 7, 8), "permanent 5.7.8 ours"},
		{refused(smtp.PhaseAuth, 454), "temporary 4.7.8 ours"},
		{refused(smtp.PhaseMail, 553, 5, 1, 7), "permanent 5.1.7"},
		{refused(smtp.PhaseMail, 451), "temporary 4.1.0"},
		{refused(smtp.PhaseRcpt, 550, 5, 1, 1), "permanent 5.1.1"},
		{refused(smtp.PhaseRcpt, 550), "permanent 5.1.0"},
		{refused(smtp.PhaseRcpt, 450, 4, 7, 1), "temporary 4.7.1"},
		{refused(smtp.PhaseRcpt, 452), "temporary 4.1.0"},
		{refused(smtp.PhaseRcpt, 552), "temporary 4.1.0"},          // too many recipients
		{refused(smtp.PhaseRcpt, 552, 5, 5, 3), "temporary 4.1.0"}, // the same, said clearly
		{refused(smtp.PhaseRcpt, 552, 5, 2, 2), "permanent 5.2.2"}, // this mailbox is full
		{refused(smtp.PhaseRcpt, 450, 5, 1, 1), "temporary 4.1.0"}, // the reply code rules
		{refused(smtp.PhaseData, 554, 5, 7, 1), "permanent 5.7.1"},
		{refused(smtp.PhaseFinal, 552), "permanent 5.0.0"},
		{refused(smtp.PhaseFinal, 451, 4, 3, 0), "temporary 4.3.0"},

		{failed(smtp.PhaseFinal, fmt.Errorf("read: %w", smtp.ErrUnsure)), "unknown 4.4.2"},
		{failed(smtp.PhaseFinal, fmt.Errorf("%w: %w", smtp.ErrUnsure, context.Canceled)), "unknown 4.4.2"},
		{failed(smtp.PhaseConnect, io.EOF), "temporary 4.4.1"},
		{failed(smtp.PhaseRcpt, io.EOF), "temporary 4.1.0"},
		{failed(smtp.PhaseTLS, errors.New("certificate has expired")), "temporary 4.7.4"},
		{failed(smtp.PhaseMail, context.DeadlineExceeded), "temporary 4.1.0 ours"},
		{failed(smtp.PhaseLocal, postrider.ErrInvalid), "permanent 5.6.0"},
		{failed(smtp.PhaseLocal, errors.New("spool: read")), "temporary 4.3.0"},

		{failed(smtp.PhaseMail, &smtp.EnvelopeError{Status: smtp.EnhancedCode{5, 6, 7}, Extension: "SMTPUTF8", Err: errors.New("lacks it")}), "permanent 5.6.7"},
		{failed(smtp.PhaseLocal, &smtp.EnvelopeError{Status: smtp.EnhancedCode{4, 3, 0}, Err: io.ErrUnexpectedEOF}), "temporary 4.3.0 ours"},
		{failed(smtp.PhaseConnect, &smtp.ConnError{Phase: smtp.PhaseConnect, Err: io.EOF}), "temporary 4.4.1"},
		{failed(smtp.PhaseTLS, &smtp.ConnError{Phase: smtp.PhaseTLS, Err: smtp.ErrTLS}), "temporary 4.7.4"},

		{failed(smtp.PhaseRoute, &mx.Error{Code: 556, Status: "5.1.10", Err: errors.New("null MX")}), "permanent 5.1.10"},
		{failed(smtp.PhaseRoute, &mx.Error{Code: 451, Status: "4.4.3", Err: errors.New("SERVFAIL")}), "temporary 4.4.3"},
		{failed(smtp.PhaseRoute, &mx.Error{Code: 550, Status: "bad", Err: errors.New("?")}), "permanent 5.4.4"},
	}
	for _, test := range tests {
		v := postrider.Classify(test.result)
		got := fmt.Sprint(v.Fate, " ", v.Status)
		if v.Ours {
			got += " ours"
		}
		if got != test.want {
			t.Errorf("%s %v: got %q, want %q", test.result.Phase, test.result.Err, got, test.want)
		}
	}
}

func TestErrorClasses(t *testing.T) {
	delivered, later, never := smtp.Result{}, refused(smtp.PhaseRcpt, 450), refused(smtp.PhaseRcpt, 550, 5, 1, 1)
	unsure := failed(smtp.PhaseFinal, smtp.ErrUnsure)
	for _, test := range []struct {
		results []smtp.Result
		is, not []error
	}{
		{[]smtp.Result{delivered, later}, []error{postrider.ErrTemporary, postrider.ErrPartial}, []error{postrider.ErrPermanent, smtp.ErrUnsure}},
		{[]smtp.Result{never, later}, []error{postrider.ErrTemporary, postrider.ErrPermanent}, []error{postrider.ErrPartial}},
		{[]smtp.Result{never}, []error{postrider.ErrPermanent}, []error{postrider.ErrTemporary, postrider.ErrPartial}},
		{[]smtp.Result{unsure, delivered}, []error{smtp.ErrUnsure, postrider.ErrPartial}, []error{postrider.ErrTemporary, postrider.ErrPermanent}},
	} {
		err := error(&postrider.Error{Results: test.results})
		for _, want := range test.is {
			if !errors.Is(err, want) {
				t.Errorf("%v is not %v", err, want)
			}
		}
		for _, other := range test.not {
			if errors.Is(err, other) {
				t.Errorf("%v is %v", err, other)
			}
		}
	}
}
