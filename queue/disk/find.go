package disk

import (
	"fmt"
	"slices"
)

// find opens the files of the log.
func (l *log) find() error {
	names, err := l.dir.list("log-")
	if err != nil {
		return err
	}
	for _, name := range names {
		var n int
		if fmt.Sscanf(name, "log-%d", &n); name != logName(n) {
			continue
		}
		l.files = max(l.files, n)
		f, err := l.dir.open(name)
		if err != nil {
			return err
		}
		if err := l.take(name, f); err != nil {
			f.Close()
			return err
		}
	}
	return nil
}

// take looks what a file is.
func (l *log) take(name string, f file) error {
	size, err := f.size()
	if err != nil {
		return err
	}
	s := &segment{name: name, f: f, size: size, end: size}
	s.synced.Store(size)
	t, err := readTitle(f)
	switch {
	case err == errCode:
		l.untitled = append(l.untitled, s)
	case err != nil:
		return fmt.Errorf("the title of %s: %w", name, err)
	case t.spool != l.spool && t.spool != 0:
		return fmt.Errorf("disk: %s belongs to another queue", name)
	case l.used[t.number] != nil:
		return fmt.Errorf("disk: %s and %s are the same segment", name, l.used[t.number].name)
	case t.number > 0 && size > pageSize:
		s.number, s.found = t.number, t
		l.used[s.number] = s
	case size >= l.length:
		l.spare = append(l.spare, s)
	default: // made, but not to its end
		f.Close()
		return l.dir.remove(name)
	}
	return nil
}

// manyNumbers is how far from the known ones the number of a segment may be whose title is lost.
const manyNumbers = 1 << 16

// identify finds out which segments those are whose titles are lost: with the number of its segment the checksum of a record's head
// begins. A file of which that cannot be said is left alone. It returns the number of the oldest segment in use.
func (l *log) identify(newest uint64) (oldest uint64, err error) {
	oldest = 1
	first := uint64(0) // with a title
	for n, s := range l.used {
		newest, oldest = max(newest, n), max(oldest, s.found.oldest)
		if first == 0 || n < first {
			first = n
		}
	}
	for _, s := range l.untitled {
		b := make([]byte, headSize)
		if _, err := readPart(s.f, b, pageSize); err != nil {
			return 0, fmt.Errorf("the first record of %s: %w", s.name, err)
		}
		for n := max(oldest, manyNumbers) - manyNumbers; n <= newest+manyNumbers && s.number == 0; n++ {
			if _, ok := readHead(b, n); !ok || l.used[n] != nil {
				continue
			}
			if n >= oldest && n+uint64(len(l.untitled)) < first {
				break // it was free: those in use have all numbers from the oldest on
			}
			s.number, l.used[n] = n, s
		}
	}
	l.dropOld(oldest)
	return oldest, nil
}

// puzzled says that there is a file of which nobody knows which segment it is.
func (l *log) puzzled() bool {
	return slices.ContainsFunc(l.untitled, func(s *segment) bool { return s.number == 0 })
}

// dropOld makes spare what the newest segment says was not in use any more.
func (l *log) dropOld(oldest uint64) {
	for n, s := range l.used {
		if n < oldest {
			l.spare = append(l.spare, s)
			delete(l.used, n)
		}
	}
}
