package queue_test

import (
	"testing"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/queuetest"
)

func TestMemory(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return new(queue.Memory) })
}
