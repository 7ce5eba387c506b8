package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// folder is what the store wants of a file system beside the index. Tests put one under it that fails and loses power.
type folder interface {
	// list names the files whose names begin with prefix.
	list(prefix string) ([]string, error)
	// open opens a file that exists.
	open(name string) (file, error)
	// create makes a file with that much room, durably, or leaves nothing. No room is syscall.ENOSPC.
	create(name string, size int64) (file, error)
	// replace makes a small file with that content, durably, in place of what had the name.
	replace(name string, content []byte) error
	remove(name string) error
}

type file interface {
	io.ReaderAt
	// writeAll writes the parts one after the other.
	writeAll(parts [][]byte, off int64) error
	// sync makes durable what was written. Once it failed, the file must not be trusted: the kernel
	// may have dropped what it could not write, and say nothing the next time.
	sync() error
	size() (int64, error)
	Close() error
}

// realFolder is a folder of the operating system.
type realFolder string

func (d realFolder) list(prefix string) (names []string, err error) {
	entries, err := os.ReadDir(string(d))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d realFolder) open(name string) (file, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (d realFolder) create(name string, size int64) (file, error) {
	path := filepath.Join(string(d), name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = allocate(f, size)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return realFile{f}, nil
}

func (d realFolder) replace(name string, content []byte) error {
	path := filepath.Join(string(d), name)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(path+".new", path); err != nil {
		return err
	}
	return d.sync()
}

func (d realFolder) remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

// makeDir makes a folder, and those above it, durably: the name of each stands in the one above.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return realFolder(above).sync()
}

// sync makes the names in the folder durable.
func (d realFolder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type realFile struct{ *os.File }

func (f realFile) writeAll(parts [][]byte, off int64) error { return writeParts(f.File, parts, off) }
func (f realFile) sync() error                              { return dataSync(f.File) }

func (f realFile) size() (int64, error) {
	s, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return s.Size(), nil
}

// zeros fills a file where the file system cannot allocate.
func zeros(f *os.File, size int64) error {
	z := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(z)) {
		if _, err := f.WriteAt(z[:min(int64(len(z)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}
