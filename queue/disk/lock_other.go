//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package disk

import "os"

// lock leaves it to the lock of the index, which bbolt takes.
func lock(*os.File) error { return nil }
