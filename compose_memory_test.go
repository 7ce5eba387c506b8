package postrider

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

// largeMessage has a file of 25 MB, and a signer with an Ed25519 key.
func largeMessage(t testing.TB) (*Message, Signer) {
	name := filepath.Join(t.TempDir(), "large.bin")
	if err := os.WriteFile(name, bytes.Repeat(noise(100<<10), 256), 0o600); err != nil {
		t.Fatal(err)
	}
	return largeFrom(t, name)
}

func largeFrom(t testing.TB, name string) (*Message, Signer) {
	key, err := dkim.GenerateKey(0)
	if err != nil {
		t.Fatal(err)
	}
	m := benchMessage(4<<10, 6<<10)
	m.Attachments = []Attachment{File(name)}
	return m, dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: key}}, Ed25519Alone: true}
}

// peak is the largest resident size, in kB, of a process that makes a large message ready, and composes and
// signs it if it is told to.
func peak(t testing.TB, compose bool) int64 {
	t.Helper()
	name := filepath.Join(t.TempDir(), "large.bin")
	if err := os.WriteFile(name, bytes.Repeat(noise(100<<10), 256), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestComposeMemory$", "-test.v")
	cmd.Env = append(os.Environ(), "COMPOSE_PEAK="+name, fmt.Sprintf("COMPOSE=%v", compose))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "peak ")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return kB
}

// Composing and signing a file of 25 MB takes at most 8 MB.
func TestComposeMemory(t *testing.T) {
	if name := os.Getenv("COMPOSE_PEAK"); name != "" {
		m, s := largeFrom(t, name)
		if os.Getenv("COMPOSE") == "true" {
			for range 3 {
				c, err := m.compose(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				if c.size < 25<<20 {
					t.Fatal(c.size)
				}
				c.close()
			}
		}
		fmt.Println("peak", residentPeak(t))
		return
	}
	residentPeak(t)
	bare, full := peak(t, false), peak(t, true)
	t.Logf("bare process %d kB, composing %d kB", bare, full)
	limit := int64(8 << 10)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		limit *= 4 // the race detector's own
	}
	if above := full - bare; above > limit {
		t.Errorf("%d kB above the bare process", above)
	}
}

// residentPeak is VmHWM of this process, in kB.
func residentPeak(t testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc to read the peak of the memory from")
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
