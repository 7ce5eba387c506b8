package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if url := os.Getenv("QUEUE_WORKER"); url != "" {
		exit(work(context.Background(), url, os.Getenv("QUEUE_SEND") != "", os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

// Nothing is lost by the kill.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
	for _, want := range []string{"worker 1 is killed", "200 of 200 mails have arrived"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}
