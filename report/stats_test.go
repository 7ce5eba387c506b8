package report_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/report"
)

var day = time.Date(2026, 11, 23, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 24th in UTC

func ExampleStats() {
	var stats report.Stats
	client := &postrider.Client{Transport: &postrider.Record{}, Events: &stats}
	_ = client // its mail is counted; here the events are made by hand
	stats.Record(context.Background(),
		postrider.Event{Type: postrider.EventDelivered, Time: day, Recipient: "a@Example.org", Tenant: "shop", Status: "2.0.0"},
		postrider.Event{Type: postrider.EventDelivered, Time: day, Recipient: "b@example.org", Tenant: "shop", Status: "2.1.5"},
		postrider.Event{Type: postrider.EventBounced, Time: day, Recipient: "c@example.org", Tenant: "shop", Status: "5.1.1"},
		postrider.Event{Type: postrider.EventDeferred, Time: day, Recipient: "d@example.net", Status: "4.7.1"},
	)
	stats.WriteTo(os.Stdout)
	// Output:
	// day         domain       tenant  event      cause    count
	// 2026-11-24  example.net  -       deferred   policy   1
	// 2026-11-24  example.org  shop    bounced    address  1
	// 2026-11-24  example.org  shop    delivered  -        2
}

func ExampleRow() {
	var stats report.Stats
	stats.Record(context.Background(), postrider.Event{Type: postrider.EventBounced, Time: day, Recipient: "a@example.org", Status: "5.2.2"})
	for _, r := range []report.Row(stats.Rows()) {
		fmt.Println(r.Domain, r.Type, r.Class, r.Count)
	}
	// Output: example.org bounced mailbox 1
}

// Every attempt that failed has a class, whatever the code, and none that did not.
func TestStatsClass(t *testing.T) {
	for _, test := range []struct {
		what          postrider.EventType
		status, class string
	}{
		{postrider.EventBounced, "5.1.1", "address"},
		{postrider.EventBounced, "5.0.0", "other"},
		{postrider.EventDeferred, "4.0.0", "other"},
		{postrider.EventDeferred, "4.7.24", "policy"},
		{postrider.EventBounced, "5.8.1", "other"}, // no such subject
		{postrider.EventBounced, "", "other"},
		{postrider.EventBounced, "550", "other"},
		{postrider.EventExpired, "5.4.7", "network"},
		{postrider.EventDelivered, "2.1.5", ""},
		{postrider.EventDelivered, "", ""},
		{postrider.EventQueued, "", ""},
		{postrider.EventCancelled, "", ""},
	} {
		var s report.Stats
		s.Record(t.Context(), postrider.Event{Type: test.what, Time: day, Recipient: "a@x.test", Status: test.status})
		if rows := s.Rows(); len(rows) != 1 || rows[0].Class != test.class {
			t.Errorf("%s %s: %+v, want class %q", test.what, test.status, rows, test.class)
		}
	}
}

// What is not mail of the program's own is left out.
func TestStatsLeaveOut(t *testing.T) {
	var s report.Stats
	s.Record(t.Context(),
		postrider.Event{Type: postrider.EventNotice, Time: day, Reason: "no resolver is trusted"},
		postrider.Event{Type: postrider.EventDelivered, Time: day, Recipient: "ada@example.com", Notification: true},
		postrider.Event{Type: postrider.EventBounced, Time: day, Recipient: "a@x.test", Status: "5.1.1"})
	if rows := s.Rows(); len(rows) != 1 || rows[0].Domain != "x.test" || rows[0].Count != 1 {
		t.Errorf("%+v", rows)
	}
}

// An event that is told again counts once.
func TestStatsCountOnce(t *testing.T) {
	var s report.Stats
	for range 3 {
		s.Record(t.Context(), postrider.Event{ID: "1", Type: postrider.EventDelivered, Time: day, Recipient: "a@x.test"})
	}
	s.Record(t.Context(), postrider.Event{ID: "2", Type: postrider.EventDelivered, Time: day, Recipient: "a@x.test"})
	if rows := s.Rows(); len(rows) != 1 || rows[0].Count != 2 {
		t.Errorf("%+v", rows)
	}
}

// However many domains there are, memory is bounded and nothing goes uncounted.
func TestStatsBounded(t *testing.T) {
	s := report.Stats{Limit: 10}
	for n := range 1000 {
		s.Record(t.Context(), postrider.Event{Type: postrider.EventDelivered, Time: day, Recipient: fmt.Sprintf("a@d%d.test", n)})
	}
	var sum int64
	rows := s.Rows()
	for _, r := range rows {
		sum += r.Count
	}
	if len(rows) > 11 || sum != 1000 {
		t.Errorf("%d rows, %d events", len(rows), sum)
	}
}

// Hostile names do not steer the terminal.
func TestStatsTableIsHarmless(t *testing.T) {
	var s report.Stats
	s.Record(t.Context(), postrider.Event{Type: postrider.EventDelivered, Time: day, Recipient: "a@x\x1b[2J\n.test", Tenant: "t\tu\r\u202e\u2028", Status: "x"})
	var b strings.Builder
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) || strings.Count(b.String(), "\n") != 2 || strings.ContainsAny(b.String(), "\x1b\r\t\u202e\u2028") {
		t.Errorf("%q, %d, %v", b.String(), n, err)
	}
}

func TestStatsConcurrent(t *testing.T) {
	var s report.Stats
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for n := range 500 {
				s.Record(t.Context(), postrider.Event{ID: fmt.Sprint(g, "-", n), Type: postrider.EventQueued, Time: day, Recipient: "a@x.test"})
				s.Rows()
			}
		})
	}
	wait.Wait()
	if rows := s.Rows(); len(rows) != 1 || rows[0].Count != 4000 {
		t.Errorf("%+v", rows)
	}
}
