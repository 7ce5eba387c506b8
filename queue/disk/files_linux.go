package disk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func allocate(f *os.File, size int64) error {
	err := again(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return zeros(f, size)
	}
	return err
}

func dataSync(f *os.File) error {
	return again(func() error { return unix.Fdatasync(int(f.Fd())) })
}

const maxParts = 1024 // IOV_MAX

func writeParts(f *os.File, parts [][]byte, off int64) error {
	for len(parts) > 0 {
		var n int
		err := again(func() (err error) {
			n, err = unix.Pwritev(int(f.Fd()), parts[:min(len(parts), maxParts)], off)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		off += int64(n)
		for len(parts) > 0 && n >= len(parts[0]) {
			n -= len(parts[0])
			parts = parts[1:]
		}
		if n > 0 {
			parts[0] = parts[0][n:]
		}
	}
	return nil
}

func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// lock takes the lock of a folder, which ends with the process.
func lock(f *os.File) error {
	return again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
}
