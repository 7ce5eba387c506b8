package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// report writes a line for each recipient that was not accepted and returns the exit code:
// temporary wins over permanent, since what may still succeed shall be tried again.
func report(w io.Writer, results []smtp.Result) int {
	var temporary, permanent, noUser bool
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		v := postrider.Classify(r)
		switch {
		case v.Fate != postrider.FatePermanent:
			temporary = true
		case unknownUser(r, v):
			noUser = true
		default:
			permanent = true
		}
		fmt.Fprintln(w, line(r, v))
	}
	switch {
	case temporary:
		return exitTempFail
	case permanent:
		return exitUnavailable
	case noUser:
		return exitNoUser
	}
	return exitOK
}

// unknownUser: the mailbox does not exist (RFC 3463: X.1.1 and X.1.6), or a server without enhanced codes refused the
// recipient with 550.
func unknownUser(r smtp.Result, v postrider.Verdict) bool {
	if r.Reply.Enhanced == (smtp.EnhancedCode{}) {
		return r.Phase == smtp.PhaseRcpt && r.Reply.Code == 550
	}
	return v.Status == smtp.EnhancedCode{5, 1, 1} || v.Status == smtp.EnhancedCode{5, 1, 6}
}

func line(r smtp.Result, v postrider.Verdict) string {
	code, text := "-", r.Reply.Text
	if r.Reply.Code != 0 {
		code = fmt.Sprint(r.Reply.Code)
	}
	if r.Reply.Code == 0 && r.Err != nil {
		text = r.Err.Error()
	}
	return fmt.Sprintf("%s %s %s %s %s %s", r.Recipient, v.Fate, r.Phase, code, v.Status, strings.Join(strings.Fields(text), " "))
}
