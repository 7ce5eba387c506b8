package disk

import "time"

// Restless is the configuration with an index that is brought up to date all the time, and a window of few entries.
func (c Config) Restless() Config {
	c.every, c.window = 50*time.Microsecond, 1
	return c
}
