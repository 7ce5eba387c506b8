//go:build race

package disk

// UnderRace: a damaged index lets bbolt read beyond its mapped file. The store turns that fault into an error, but the
// race detector's own frames cannot be unwound by it: the process dies. Such damage is tested without the detector.
const UnderRace = true
