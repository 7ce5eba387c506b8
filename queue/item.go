package queue

import (
	"strconv"
	"time"
)

// ID names an item: the message it belongs to, and its index in Batch.Items.
type ID struct {
	Message string
	N       int
}

// String returns the message, a stroke and the index.
func (id ID) String() string { return id.Message + "/" + strconv.Itoa(id.N) }

// Item is one recipient of one message, as it stands. It is a value; changing it changes nothing in
// the store. The byte slices are shared: do not write to them.
type Item struct {
	ID ID

	// Lane is the destination that shares one limit, such as a domain. Items of one message and lane
	// are claimed together.
	Lane string
	// To is the recipient. The queue compares it and shows it, no more.
	To string
	// Meta are bytes of the caller about this item, Common about the whole message (stored once).
	Meta, Common []byte

	// Key, Tenant, Priority and Created are those of the batch, Created its Now.
	Key      string
	Tenant   string
	Priority Priority
	Created  time.Time

	// State says where the item stands.
	State State
	// Attempts counts the claims that were not given back untried.
	Attempts int
	// Due is when the next attempt may begin: at first the earliest allowed time, later the time of
	// the retry; while the item is leased, the time of the retry if nothing more is heard of the lease. For an ended
	// item it is when it ended.
	Due time.Time
	// Expires is when the item is useless: Expire ends it then, unless it is held. Zero: never.
	Expires time.Time
	// Until is the end of the lease. Zero unless leased.
	Until time.Time
	// Note are bytes of the caller about the last outcome.
	Note []byte
}

// State says where an item stands.
type State string

// The states. The last five are ends: they are final.
const (
	Waiting State = "waiting" // for Due
	Leased  State = "leased"  // given out by Claim; the lease may have lapsed, see Until
	Held    State = "held"    // by a person, until a person requeues it

	Delivered State = "delivered" // the Handler handed it over
	Failed    State = "failed"    // the Handler gave up for good
	Expired   State = "expired"   // too late
	Cancelled State = "cancelled" // by a person
	Damaged   State = "damaged"   // the store cannot read it any more; set aside
)

// Ended says that the state is final.
func (s State) Ended() bool {
	switch s {
	case Delivered, Failed, Expired, Cancelled, Damaged:
		return true
	}
	return false
}

// Priority is the class of a message.
type Priority int8

// The priorities.
const (
	Bulk   Priority = -1
	Normal Priority = 0
	Urgent Priority = 1
)

// Event says that an item came into a state. There is one event for the Put of an item, one for each Settle that made
// it wait for a retry, and one for its end.
type Event struct {
	// Seq is unique in a store and grows in the order in which the events are given out.
	Seq uint64
	// At is the Now of the call that caused the event.
	At time.Time
	// Item is the item right after the change: State is Waiting with Attempts 0 (put), Waiting (will be
	// tried again), or an end.
	Item Item
}
