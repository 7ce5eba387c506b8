package queuetest_test

import (
	"fmt"
	"testing"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/queuetest"
)

// In the test of a store: Compare holds it against another one.
func ExampleContender() {
	memory := queuetest.Contender{Name: "memory", Open: func(t *testing.T) queue.Store { return &queue.Memory{} }}
	mine := memory
	mine.Name = "mine"

	test := func(t *testing.T) { queuetest.Compare(t, 1000, memory, mine) }
	fmt.Println(test != nil, memory.Name, mine.Name)
	// Output: true memory mine
}
