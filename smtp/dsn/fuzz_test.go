package dsn_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/postrider/postrider/smtp/dsn"
)

// FuzzParse reads anything. What was read can be written, and reads the same again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range files {
		seed, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, mail []byte) {
		r, err := dsn.Parse(bytes.NewReader(mail))
		if err != nil {
			return
		}
		for _, fate := range r.Recipients {
			if fate.Address == "" || fate.Action == "" || fate.Status[0] == 0 {
				t.Fatalf("half a fate: %+v", fate)
			}
		}
		r.From, r.To, r.ReportingMTA = "", "ada@example.com", "mx.example.com"
		var b bytes.Buffer
		if _, err := r.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		lawful(t, "fuzz", b.Bytes())
		again, err := dsn.Parse(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.Bytes())
		}
		if (again.Complaint == nil) != (r.Complaint == nil) {
			t.Fatalf("complaint %v, was %v", again.Complaint, r.Complaint)
		}
		if r.Complaint == nil && len(again.Recipients) != len(r.Recipients) {
			t.Fatalf("%d recipients, were %d\n%s", len(again.Recipients), len(r.Recipients), b.Bytes())
		}
		for i, fate := range again.Recipients {
			if fate.Status != r.Recipients[i].Status || fate.Action != r.Recipients[i].Action {
				t.Fatalf("%+v, was %+v", fate, r.Recipients[i])
			}
		}
	})
}
