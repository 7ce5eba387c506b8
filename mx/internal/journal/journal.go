// Package journal keeps a bounded set of values by key, in memory and in a file that survives
// restarts.
//
//	Put ──► memory (least recently used out first) ──► one line of JSON appended to the file
//	                                                        │ too many lines
//	first use ◄── the file, damaged lines left out ◄────────┴ rewritten beside it and renamed
//
// One process uses a file at a time. A line that was torn by a crash is lost and nothing else is.
package journal

import (
	"bufio"
	"bytes"
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Journal is a set of values by key. The zero value keeps up to 65536 of them in memory only. It is
// safe for concurrent use; its fields must not change after the first call.
type Journal[V any] struct {
	// Path is the file. Empty: memory only.
	Path string
	// Limit is the number of keys that are kept. Zero: 65536.
	Limit int

	mu     sync.Mutex
	loaded bool
	lines  int // in the file, dead ones included
	values map[string]*list.Element
	recent *list.List // of *line[V], the most recently used first
	failed error      // of loading
}

// line is one line of the file. A nil Value says that the key is gone.
type line[V any] struct {
	Key   string `json:"k"`
	Value *V     `json:"v,omitempty"`
}

// maxLine bounds a line: longer ones are damaged.
const maxLine = 1 << 20

// Get returns the value for the key, and makes it the most recently used.
func (j *Journal[V]) Get(key string) (value V, ok bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.load(); err != nil {
		return value, false, err
	}
	e := j.values[key]
	if e == nil {
		return value, false, nil
	}
	j.recent.MoveToFront(e)
	return *e.Value.(*line[V]).Value, true, nil
}

// Put keeps the value. It is in memory even when the error says that it could not be written.
func (j *Journal[V]) Put(key string, value V) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.load()
	l := &line[V]{key, &value}
	j.set(l)
	return errors.Join(err, j.write(l))
}

// Delete forgets the key.
func (j *Journal[V]) Delete(key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.load()
	l := &line[V]{Key: key}
	j.set(l)
	return errors.Join(err, j.write(l))
}

// Keys returns all keys, the most recently used first.
func (j *Journal[V]) Keys() ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.load()
	keys := make([]string, 0, j.recent.Len())
	for e := j.recent.Front(); e != nil; e = e.Next() {
		keys = append(keys, e.Value.(*line[V]).Key)
	}
	return keys, err
}

// set does in memory what the line says.
func (j *Journal[V]) set(l *line[V]) {
	if e := j.values[l.Key]; e != nil {
		j.recent.Remove(e)
		delete(j.values, l.Key)
	}
	if l.Value == nil {
		return
	}
	j.values[l.Key] = j.recent.PushFront(l)
	limit := j.Limit
	if limit <= 0 {
		limit = 65536
	}
	for j.recent.Len() > limit {
		oldest := j.recent.Back()
		j.recent.Remove(oldest)
		delete(j.values, oldest.Value.(*line[V]).Key)
	}
}

// load reads the file at first use. A file that cannot be read is an error on each call, so that it
// is neither overlooked nor overwritten.
func (j *Journal[V]) load() error {
	if j.loaded {
		return j.failed
	}
	j.loaded = true
	j.values, j.recent = map[string]*list.Element{}, list.New()
	if j.Path == "" {
		return nil
	}
	f, err := os.Open(j.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		j.failed = err
		return err
	}
	defer f.Close()
	whole, err := j.read(f)
	if err != nil {
		j.failed = fmt.Errorf("%s: %w", j.Path, err)
		return j.failed
	}
	if !whole {
		return j.rewrite()
	}
	return nil
}

// read takes all good lines. It says whether there was nothing but good lines.
func (j *Journal[V]) read(f io.Reader) (whole bool, err error) {
	whole = true
	r := bufio.NewReaderSize(f, maxLine)
	for {
		text, err := r.ReadSlice('\n')
		if len(text) > 0 {
			j.lines++
		}
		l := new(line[V])
		switch {
		case err == io.EOF && len(text) == 0:
			return whole, nil
		case err == io.EOF: // torn: without a line end
			return false, nil
		case err == bufio.ErrBufferFull:
			whole = false
			for err == bufio.ErrBufferFull {
				_, err = r.ReadSlice('\n')
			}
			if err == io.EOF {
				return false, nil
			}
			if err != nil {
				return false, err
			}
		case err != nil:
			return false, err
		case json.Unmarshal(text, l) != nil || l.Key == "":
			whole = false
		default:
			j.set(l)
		}
	}
}

// write appends a line, or writes the file anew when most of its lines are dead.
func (j *Journal[V]) write(l *line[V]) error {
	if j.Path == "" || j.failed != nil {
		return nil
	}
	if j.lines >= 2*j.recent.Len()+64 {
		return j.rewrite()
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if len(text) >= maxLine {
		return errors.New("journal: value too large")
	}
	f, err := os.OpenFile(j.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Close())
	if err != nil {
		j.lines = 1 << 30 // the end of the file may be torn: the next write makes it anew
		return err
	}
	j.lines++
	return nil
}

// rewrite writes the live lines, the least recently used first, to a new file and puts it in the
// place of the old one.
func (j *Journal[V]) rewrite() error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for e := j.recent.Back(); e != nil; e = e.Prev() {
		if err := encoder.Encode(e.Value); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(j.Path), filepath.Base(j.Path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), j.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	j.lines = j.recent.Len()
	return nil
}
