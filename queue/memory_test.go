package queue_test

import (
	"testing"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/queuetest"
)

func TestMemory(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return new(queue.Memory) })
}

func TestMemoryAndModel(t *testing.T) {
	memory := queuetest.Contender{Name: "Memory", Open: func(t *testing.T) queue.Store { return new(queue.Memory) }}
	for range 20 {
		t.Run("", func(t *testing.T) { queuetest.Compare(t, 500, memory) })
	}
}
