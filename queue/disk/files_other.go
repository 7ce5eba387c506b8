//go:build !linux

package disk

import "os"

func allocate(f *os.File, size int64) error { return zeros(f, size) }

func dataSync(f *os.File) error { return f.Sync() }

func writeParts(f *os.File, parts [][]byte, off int64) error {
	for _, p := range parts {
		n, err := f.WriteAt(p, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
