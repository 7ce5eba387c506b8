package main

import (
	"strings"
	"testing"
)

// The quickstart ends without error, and shows every step.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"mx1.example.org", "EHLO mail.example.com", "STARTTLS", "valid for d=example.com",
		"Grüße aus dem Quickstart", "multipart/related", `"Übersicht 2026.csv"`, "bob@example.org: delivered", "carol@example.org: delivered"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	t.Log(out.String())
}
