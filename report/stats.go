package report

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode"

	"github.com/postrider/postrider"
)

const (
	mostRows = 100_000 // combinations that are told apart
	mostIDs  = 65_536  // events that are remembered, to count none twice
)

// Stats counts events of the program's mail. It is a postrider.Sink. Left out are notices, which are about no mail,
// and the mail by which a Client notifies of failures: the mail that failed is counted. The zero value is ready; it is
// safe for concurrent use, and its counts are lost with the process.
type Stats struct {
	// Limit is the number of combinations of day, domain, tenant and class that are told apart; what comes beyond
	// it is counted under the domain "(others)". Zero: 100,000.
	Limit int

	mu     sync.Mutex
	counts map[Row]int64 // Count is zero in the keys
	ids    map[string]struct{}
	order  []string // of ids, a ring
	next   int
}

// Row is one count.
type Row struct {
	// Day is the date in UTC, such as "2026-11-23".
	Day string
	// Domain is the recipient's, in lower case.
	Domain string
	Tenant string
	// Type is the type of the events, and Class the kind of cause of a failure by the second number of the status code
	// (RFC 3463 s. 3): address, mailbox, system, network, protocol, content, policy, and other where the code says
	// so or there is none. Empty: nothing went wrong.
	Type  postrider.EventType
	Class string
	Count int64
}

var classes = map[byte]string{'1': "address", '2': "mailbox", '3': "system", '4': "network", '5': "protocol", '6': "content", '7': "policy"}

// classOf is the kind of cause that an event names.
func classOf(e *postrider.Event) string {
	switch e.Type {
	case postrider.EventDeferred, postrider.EventBounced, postrider.EventExpired:
	default:
		return ""
	}
	class := ""
	if len(e.Status) > 3 && e.Status[1] == '.' && e.Status[3] == '.' {
		class = classes[e.Status[2]]
	}
	return cmp.Or(class, "other") // 0 is "other or undefined status"
}

// Record counts events. One with an ID that was counted lately is not counted again. It does not fail.
func (s *Stats) Record(_ context.Context, events ...postrider.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts, s.ids = make(map[Row]int64), make(map[string]struct{})
	}
	for i := range events {
		if e := &events[i]; e.Type != postrider.EventNotice && !e.Notification && !s.known(e.ID) {
			s.count(e)
		}
	}
	return nil
}

// known says whether the event was counted, and remembers it.
func (s *Stats) known(id string) bool {
	if id == "" {
		return false
	}
	if _, ok := s.ids[id]; ok {
		return true
	}
	if len(s.order) < mostIDs {
		s.order = append(s.order, id)
	} else {
		delete(s.ids, s.order[s.next])
		s.order[s.next] = id
		s.next = (s.next + 1) % mostIDs
	}
	s.ids[id] = struct{}{}
	return false
}

func (s *Stats) count(e *postrider.Event) {
	row := Row{
		Day: e.Time.UTC().Format("2006-01-02"), Domain: strings.ToLower(e.Recipient[strings.LastIndexByte(e.Recipient, '@')+1:]),
		Tenant: e.Tenant, Type: e.Type, Class: classOf(e),
	}
	if _, ok := s.counts[row]; !ok && len(s.counts) >= cmp.Or(s.Limit, mostRows) {
		row.Domain, row.Tenant = "(others)", ""
	}
	s.counts[row]++
}

// Rows returns the counts in the order of day, domain, tenant, type and class.
func (s *Stats) Rows() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := make([]Row, 0, len(s.counts))
	for row, n := range s.counts {
		row.Count = n
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Class, b.Class))
	})
	return rows
}

// WriteTo writes the counts as a table for people.
func (s *Stats) WriteTo(w io.Writer) (int64, error) {
	counter := &countingWriter{w: w}
	table := tabwriter.NewWriter(counter, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "day\tdomain\ttenant\tevent\tcause\tcount")
	for _, r := range s.Rows() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\n", r.Day, printable(r.Domain), cmp.Or(printable(r.Tenant), "-"), r.Type, cmp.Or(r.Class, "-"), r.Count)
	}
	err := table.Flush()
	return counter.n, err
}

// printable keeps a name from steering a terminal or breaking the table, with what turns the direction of writing, too.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
