package disk

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Open opens the spool in a folder, and makes it if it is not there.
func Open(dir string) (*Store, error) { return Config{Dir: dir}.Open() }

// The files of a spool beside those of the log.
const (
	lockName   = "lock"
	formatName = "format" // "postrider spool 1", and the spool's name
	indexName  = "index"
)

const formatLine = "postrider spool 1 "

// Open opens the spool. What was accepted and has not ended is there; what the log says since the last checkpoint is
// read again.
func (c Config) Open() (*Store, error) {
	if c.Dir == "" {
		return nil, errors.New("disk: a folder is needed")
	}
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("disk: %s is open already, by this process or another: %w", c.Dir, err)
	}
	s, err := c.open()
	if err != nil {
		f.Close()
		return nil, err
	}
	s.unlock = f.Close
	return s, nil
}

func (c Config) open() (*Store, error) {
	files := c.files
	if files == nil {
		files = realFolder(c.Dir)
	}
	spool, err := readFormat(files)
	if err != nil {
		return nil, err
	}
	if c.Segment <= 0 {
		c.Segment = 64 << 20
	}
	c.Segment = max(align(c.Segment), 4*pageSize)
	path := filepath.Join(c.Dir, indexName)
	s, err := c.recover(files, spool, path)
	if errors.Is(err, errIndex) || errors.Is(err, errPosition) {
		if c.Log != nil {
			c.Log.Warn("disk queue: the index is made again from the log", "because", err)
		}
		if err = os.Rename(path, path+".bad"); err == nil || errors.Is(err, os.ErrNotExist) {
			s, err = c.recover(files, spool, path)
		}
	}
	if err != nil {
		return nil, err
	}
	go s.log.commit(s.make)
	go s.keepUp()
	return s, nil
}

// recover opens the index and reads the log from where it ends.
func (c Config) recover(files folder, spool uint64, path string) (*Store, error) {
	s := &Store{logger: c.Log, prefix: fmt.Sprintf("%08x-", uint32(spool)), eventSeq: 1,
		window: cmp.Or(c.window, 1<<16), every: cmp.Or(c.every, checkpointEvery), tooFar: tooFarBehind, patience: cmp.Or(c.patience, patience),
		messages: map[uint64]*message{}, keys: map[string]uint64{}, live: map[uint64]int64{}, outbox: never,
		nudged: make(chan struct{}, 1), quit: make(chan struct{}), over: make(chan struct{}),
		sched: schedule{lanes: map[laneName]*lane{}, tenants: map[tenantKey]*tenant{}, horizon: never}}
	s.passed = sync.NewCond(&s.mu)
	s.large = newAllowance(cmp.Or(c.large, largeAtOnce))
	s.log = newLog(files, spool, c.Segment)
	err := s.log.find()
	if err == nil {
		s.index, err = openIndex(path, c.noSync)
		if err != nil && !errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w: %w", errIndex, err)
		}
	}
	if err == nil {
		err = s.replay()
	}
	if err == nil {
		err = s.broken
	}
	if err != nil {
		s.log.closeFiles()
		if s.index != nil {
			s.index.close()
		}
		return nil, err
	}
	return s, nil
}

// makeFormat names a spool: as the files of its log say, if there are any, or new.
func makeFormat(files folder) (uint64, error) {
	names, err := files.list("log-")
	if err != nil {
		return 0, err
	}
	var spool uint64
	for _, name := range names {
		f, err := files.open(name)
		if err != nil {
			return 0, err
		}
		t, err := readTitle(f)
		f.Close()
		switch {
		case err == errCode:
		case err != nil:
			return 0, fmt.Errorf("the title of %s: %w", name, err)
		case spool != 0 && t.spool != 0 && t.spool != spool:
			return 0, fmt.Errorf("disk: the file %s is lost, and files of several queues are here", formatName)
		case t.spool != 0:
			spool = t.spool
		}
	}
	b := make([]byte, 8)
	if binary.BigEndian.PutUint64(b, spool); spool == 0 {
		rand.Read(b)
	}
	return binary.BigEndian.Uint64(b), files.replace(formatName, []byte(formatLine+hex.EncodeToString(b)+"\n"))
}

// readFormat reads the format and name of a spool, and makes them for a new one.
func readFormat(files folder) (uint64, error) {
	f, err := files.open(formatName)
	if errors.Is(err, os.ErrNotExist) {
		return makeFormat(files)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, 100)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	line := string(b[:n])
	name, ok := strings.CutPrefix(strings.TrimSpace(line), formatLine)
	raw, err := hex.DecodeString(name)
	if !ok || err != nil || len(raw) != 8 {
		return 0, fmt.Errorf("disk: this folder has format %q, and this program knows %q and a name: open it with the program that made it", line, formatLine)
	}
	return binary.BigEndian.Uint64(raw), nil
}
