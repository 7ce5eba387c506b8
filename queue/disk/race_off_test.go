//go:build !race

package disk

const UnderRace = false
