package postrider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider/postrider/smtp"
)

// These say what to do about an error of Send.
var (
	// ErrTemporary: at least one recipient was not reached for a cause that may pass. Send to those
	// recipients again later.
	ErrTemporary = errors.New("postrider: temporary failure")
	// ErrPermanent: at least one recipient was refused for good. Do not send again to it.
	ErrPermanent = errors.New("postrider: permanent failure")
	// ErrPartial: at least one recipient was accepted and at least one was not. To send the whole
	// message again would make duplicates.
	ErrPartial = errors.New("postrider: not all recipients were accepted")
)

// Error says that at least one recipient was not accepted. errors.Is finds ErrTemporary,
// ErrPermanent and ErrPartial in it, smtp.ErrUnsure where it is not known whether the mail was
// accepted, and the causes in the results.
type Error struct {
	// Results are the fates of all recipients, the accepted ones included.
	Results []smtp.Result
}

// Error names each recipient that was not accepted, with its fate and the cause.
func (e *Error) Error() string {
	const most = 5 // recipients in the text; the Results have them all
	var b strings.Builder
	failed := 0
	for _, r := range e.Results {
		if r.Err == nil {
			continue
		}
		if failed++; failed <= most {
			if failed > 1 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, "%s: %s: %v", r.Recipient, Classify(r).Fate, r.Err)
		}
	}
	if failed > most {
		fmt.Fprintf(&b, "; and %d more", failed-most)
	}
	return fmt.Sprintf("postrider: %d of %d recipients not accepted: %s", failed, len(e.Results), b.String())
}

// Is tells the class of the error.
func (e *Error) Is(target error) bool {
	var accepted, other bool
	for _, r := range e.Results {
		switch Classify(r).Fate {
		case FateDelivered:
			accepted = true
		case FateTemporary:
			other = true
			if target == ErrTemporary {
				return true
			}
		case FatePermanent:
			other = true
			if target == ErrPermanent {
				return true
			}
		default:
			other = true
		}
	}
	return target == ErrPartial && accepted && other
}

// Unwrap returns the causes, one for each recipient that was not accepted.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, r := range e.Results {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}
