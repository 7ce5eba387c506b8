package disk

import (
	"os"
	"time"
)

// Restless is the configuration with an index that is brought up to date all the time, and a window of few entries.
func (c Config) Restless() Config {
	c.every, c.window = 50*time.Microsecond, 1
	return c
}

// Preallocated and WriteSync are what the floors of the benchmarks share with the store.
func Preallocated(path string, size int64) (*os.File, error) {
	f, err := os.Create(path)
	if err == nil {
		err = allocate(f, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return f, err
}

func WriteSync(f *os.File, parts [][]byte, off int64) error {
	if err := writeParts(f, parts, off); err != nil {
		return err
	}
	return dataSync(f)
}
