package postrider

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// golden are the cases of the corpus whose octets are kept, for people to look at and for a change to be
// noticed.
var golden = []string{
	"all-fields", "bcc-only", "date-utc", "file-chinese-long", "file-quotes", "file-umlauts", "header-one-click",
	"header-own-fields", "header-thread", "header-wishes", "message-eight-bit", "message-seven-bit", "smtputf8-text",
	"subject-ascii-long", "subject-emoji-joiners", "subject-looks-encoded", "subject-umlauts", "text-alone", "text-empty",
	"text-chinese", "text-from-lines", "text-trailing-space", "to-idn", "to-name-specials", "to-smtputf8", "tree-calendar", "tree-full",
}

func TestGolden(t *testing.T) {
	cases := map[string]nasty{}
	for _, n := range corpus() {
		cases[n.name] = n
	}
	flowed := nasty{"text-flowed", func(m *Message) { m.Text, m.Flowed = flowedText, true }}
	cases[flowed.name] = flowed
	for _, name := range append(golden, flowed.name) {
		t.Run(name, func(t *testing.T) {
			n, ok := cases[name]
			if !ok {
				t.Fatal("no such case")
			}
			got, _ := octets(t, n.message(), nil)
			file := filepath.Join("testdata", "compose", name+".eml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs (go test -run TestGolden -update . writes it):\n%s", file, got)
			}
		})
	}
}
