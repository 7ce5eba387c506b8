package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/mx/internal/journal"
)

type book = journal.Journal[int]

// holds checks the keys and values, in any order.
func holds(t *testing.T, j *book, want map[string]int) {
	t.Helper()
	keys, err := j.Keys()
	if err != nil || len(keys) != len(want) {
		t.Fatalf("keys %q (%v), want %v", keys, err, want)
	}
	for k, v := range want {
		if got, ok, err := j.Get(k); got != v || !ok || err != nil {
			t.Errorf("%s: %d %v %v, want %d", k, got, ok, err, v)
		}
	}
}

func put(t *testing.T, j *book, key string, value int) {
	t.Helper()
	if err := j.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryOnly(t *testing.T) {
	j := &book{Limit: 3}
	for i, k := range []string{"a", "b", "c"} {
		put(t, j, k, i)
	}
	j.Get("a") // now b is the least recently used
	put(t, j, "d", 3)
	holds(t, j, map[string]int{"a": 0, "c": 2, "d": 3})
	if err := j.Delete("c"); err != nil {
		t.Fatal(err)
	}
	holds(t, j, map[string]int{"a": 0, "d": 3})
}

func TestSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	j := &book{Path: path, Limit: 3}
	for i := range 5 {
		put(t, j, fmt.Sprint(i), i)
	}
	put(t, j, "2", 22)
	if err := j.Delete("3"); err != nil {
		t.Fatal(err)
	}
	holds(t, &book{Path: path, Limit: 3}, map[string]int{"2": 22, "4": 4})
}

func TestFileStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	j := &book{Path: path, Limit: 10}
	for i := range 5000 {
		put(t, j, fmt.Sprint(i%25), i)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 3000 {
		t.Errorf("the file has %d octets (%v)", info.Size(), err)
	}
	holds(t, &book{Path: path, Limit: 10}, map[string]int{"15": 4990, "16": 4991, "17": 4992, "18": 4993,
		"19": 4994, "20": 4995, "21": 4996, "22": 4997, "23": 4998, "24": 4999})
	if left, _ := filepath.Glob(path + ".*"); len(left) != 0 {
		t.Errorf("files left behind: %q", left)
	}
}

// Cut the file at each octet: the whole lines before the cut are kept, and writing goes on.
func TestTornAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	j := &book{Path: path}
	for i := range 4 {
		put(t, j, fmt.Sprint(i), i)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"new": 9}
		for i := range strings.Count(string(whole[:cut]), "\n") {
			want[fmt.Sprint(i)] = i
		}
		put(t, &book{Path: path}, "new", 9)
		holds(t, &book{Path: path}, want)
	}
}

// Spoil each octet: at most the line that it is in and the one behind it are lost.
func TestSpoiledAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	j := &book{Path: path}
	for i := range 4 {
		put(t, j, fmt.Sprint(i), i)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		spoiled := slices.Clone(whole)
		spoiled[at] ^= 0x80
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := (&book{Path: path}).Keys()
		if err != nil || len(keys) < 2 {
			t.Errorf("octet %d: keys %q, %v", at, keys, err)
		}
	}
}

func TestHugeLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	text := `{"k":"a","v":1}` + "\n" + strings.Repeat("x", 3<<20) + "\n" + `{"k":"b","v":2}` + "\n" + strings.Repeat("y", 3<<20)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, &book{Path: path}, map[string]int{"a": 1, "b": 2})
	if info, err := os.Stat(path); err != nil || info.Size() > 100 {
		t.Errorf("not written anew: %v, %v", info.Size(), err)
	}
}

// What cannot be read is said on each call and never overwritten.
func TestUnreadable(t *testing.T) {
	path := t.TempDir() // a folder opens, and cannot be read
	j := &book{Path: path}
	for range 2 {
		if _, _, err := j.Get("a"); err == nil {
			t.Error("Get: no error")
		}
		if err := j.Put("a", 1); err == nil {
			t.Error("Put: no error")
		}
	}
	if _, err := os.ReadDir(path); err != nil {
		t.Error(err)
	}
}

func TestUnwritable(t *testing.T) {
	j := &book{Path: filepath.Join(t.TempDir(), "no", "such", "folder")}
	if err := j.Put("a", 1); err == nil {
		t.Error("Put: no error")
	}
	if v, ok, _ := j.Get("a"); v != 1 || !ok {
		t.Error("the value is not in memory")
	}
}

func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	j := &book{Path: path, Limit: 50}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range 100 {
				j.Put(fmt.Sprint(n%20), i)
				j.Get(fmt.Sprint(n % 30))
			}
		})
	}
	wait.Wait()
	keys, err := (&book{Path: path}).Keys()
	if err != nil || len(keys) != 20 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
