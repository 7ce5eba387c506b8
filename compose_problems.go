package postrider

import (
	"errors"
	"fmt"
)

// ErrInvalid says that a message is wrong in itself: to send it again without a change fails again.
// Every error about a field of a Message wraps it.
var ErrInvalid = errors.New("invalid message")

// fieldError says which field of a message is wrong.
type fieldError struct {
	field string
	err   error
	// outside says that the message is not to blame, but a source that it reads.
	outside bool
}

func (e *fieldError) Error() string { return "postrider: " + e.field + ": " + e.err.Error() }

func (e *fieldError) Unwrap() []error {
	if e.outside {
		return []error{e.err}
	}
	return []error{ErrInvalid, e.err}
}

// problems collects what is wrong.
type problems struct{ list []error }

func (p *problems) add(field string, err error) {
	if err != nil {
		p.list = append(p.list, &fieldError{field: field, err: err})
	}
}

func (p *problems) addf(field, format string, args ...any) { p.add(field, fmt.Errorf(format, args...)) }

// all joins what is wrong, with the attachments that cannot be opened: a caller who mends a message
// shall see everything at once.
func (p *problems) all(m *Message) error {
	p.list = append(p.list, m.probe(0)...)
	return errors.Join(p.list...)
}

// probe opens the attachments from the given one on, to see which ones cannot be opened.
func (m *Message) probe(from int) []error {
	var list []error
	for i := from; i < len(m.Attachments); i++ {
		if m.Attachments[i].Open == nil {
			continue
		}
		r, err := m.Attachments[i].Open()
		if err != nil {
			list = append(list, m.attachmentError(i, err))
		} else if r != nil {
			r.Close()
		}
	}
	return list
}

// attachmentError names the attachment that failed. Only a wrong Size is the message's own fault.
func (m *Message) attachmentError(i int, err error) error {
	a := &m.Attachments[i]
	var size errSize
	return &fieldError{
		field:   fmt.Sprintf("Attachments[%d] %q", i, a.Name),
		err:     err,
		outside: !errors.As(err, &size) || size.want != a.Size,
	}
}
