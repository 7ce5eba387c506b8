package disk_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// A store shares nothing with another, so that programs can be tested in bubbles of synctest, one after the other.
func TestBubbles(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, disk.Config{})
			b := &queue.Batch{Now: time.Now(), Body: queue.Bytes("x"), Items: []queue.Item{{To: "bob"}}}
			if _, err := s.Put(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
}
