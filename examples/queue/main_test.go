package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp/smtptest"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if url := os.Getenv("QUEUE_WORKER"); url != "" {
		exit(work(context.Background(), url, os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

// Nothing is lost by the kill, only what it cut comes twice, and what was delivered is known after it.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
	for _, want := range []string{"worker is killed", "queued 0 mails, 200 were known", "by Status 200 mails are delivered", "200 of 200 mails have arrived"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}

// More mail that came twice than deliveries were cut is an error.
func TestJudge(t *testing.T) {
	var arrived []*smtptest.Message
	for n := range mails {
		arrived = append(arrived, &smtptest.Message{Data: fmt.Appendf(nil, "Subject: mail %d\r\n\r\n", n)})
	}
	for _, test := range []struct {
		arrived []*smtptest.Message
		good    bool
	}{
		{arrived, true},
		{append(arrived[:mails:mails], arrived[7]), true},
		{append(arrived[:mails:mails], arrived[7], arrived[9]), false},
		{arrived[1:], false},
	} {
		if err := judge(io.Discard, test.arrived); (err == nil) != test.good {
			t.Errorf("%d arrived: %v", len(test.arrived), err)
		}
	}
}
