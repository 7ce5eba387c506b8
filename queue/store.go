package queue

import (
	"context"
	"errors"
	"time"
)

// The errors of a Store. They are found by errors.Is.
var (
	// ErrKeyConflict: the key is known with another fingerprint. Nothing was stored; use another key.
	ErrKeyConflict = errors.New("queue: this key was used for another message")
	// ErrNotFound: the store has no such message, or its body is gone because it has ended.
	ErrNotFound = errors.New("queue: no such message")
	// ErrFull: no room. Nothing was stored; try later.
	ErrFull = errors.New("queue: the store is full")
	// ErrDamaged: what the store has is not what was put.
	ErrDamaged = errors.New("queue: damaged")
	// ErrInvalid: the call's arguments are wrong; nothing was done.
	ErrInvalid = errors.New("queue: invalid argument")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("queue: the store is closed")
)

// Store keeps messages and their items. Who writes a store tests it with queuetest.Run; the
// numbers below are those of its cases. A store is safe for concurrent use, by several processes if
// it says so. It has no clock: time is what the calls say it is, and may jump; it is kept to the
// microsecond at least. The clocks of workers that share a store must agree to well within their Lease, or
// one that is ahead claims what another delivers; a store on a shared database may use the clock of
// that instead, if it moves the other times of a call by what Now differs. A store starts nothing
// that outlives Close. Any call may fail with an error that is not listed here; it has then done
// all or nothing, and a caller that cannot know which calls again. A call whose context ends
// returns soon.
//
// Put
//
//  1. Put stores the body and all items, or nothing. When it has returned nil, they survive what
//     the store promises to survive. It answers with an id that no other message of the store has
//     or had.
//  2. A batch without items or without a body is refused with ErrInvalid; one whose body yields an
//     error with that error; one whose body yields another number of bytes than its Size with
//     ErrInvalid. They leave nothing behind.
//  3. A Key belongs to a Tenant. If it is known, Put stores nothing: it answers with the first
//     message's id and Known if the Fingerprint is equal, and with ErrKeyConflict if it is not.
//     That holds for Puts at the same time too. A key is known as long as its message is. Without
//     a Key every Put is a new message.
//  4. An item starts Waiting with Attempts 0, and Due as given, or Now if that is zero or earlier.
//
// Open
//
//  5. Open gives the body, byte for byte, until all items have ended and all events of the message
//     are acknowledged; then ErrNotFound. A reader that is open at that time yields the rest, or an
//     error, but never other bytes.
//  6. A damaged body is never given as if it were whole: Open says ErrDamaged, or Read does, at the
//     latest in place of io.EOF.
//
// Claim
//
//  7. An item can be claimed if it is Waiting, or Leased with Until not after Now, and if Due is
//     not after Now. Held and ended items cannot. Claim does not look at Expires.
//  8. Claimed items are Leased until Now + Lease under the token of that call, and have one more
//     attempt. Their Due is Now + Backoff[Attempts-1] (beyond its end: its last element) or
//     Now + Lease, whichever is later. All that is durable before Claim returns. No item is claimed
//     by two calls at once.
//  9. The items of one message and lane that can be claimed make groups of Group items, in the
//     order of N, the last one smaller. Claim takes whole groups: at most Max, and of one lane at
//     most Lanes[lane] (none, if that is not positive) or, where there is no such entry, PerLane
//     (no limit, if that is zero; none, if negative). The items of a group stand together in the
//     answer.
//  10. Claim takes all it may: it takes fewer than Max groups only if each of the others is kept out
//     by the limit of its lane or is being claimed by another call.
//  11. Groups of the priority that stands first in Order are taken before those of the next;
//     priorities that Order does not name are not taken.
//  12. Within a priority, tenants get equal numbers of groups, one more or less, as long as they have
//     so many that the limits allow; so do the lanes of one tenant. In a lane and tenant the
//     group that has been due longest comes first, and of equals the one that was put first. Over
//     many calls with a small Max no tenant and no lane gets less than half of its equal share.
//  13. A lane with a million items, claimable or not, costs the claims of other lanes nothing, and a
//     store needs memory for a window of items, not for all (except Memory).
//
// Settle
//
//  14. Settle applies every outcome whose item is under the token, in one transaction with the events,
//     and returns the ids of the others. An item is under a token from its Claim until it is
//     settled with a state other than Leased, claimed again, or changed by Update; that its lease
//     has lapsed does not matter.
//  15. Delivered, Failed, Expired and Damaged end the item: Due is Now, Note the outcome's. With Untried,
//     of an Expired one the attempt is not counted and Note stays.
//  16. Waiting makes it wait until the outcome's Due; Note is the outcome's. With Untried the attempt
//     is not counted, Note stays, and there is no event.
//  17. Leased extends the lease: Until is the outcome's Due, and the item's Due is that or what it
//     was, whichever is later. There is no event.
//  18. Any other state is ErrInvalid, and nothing is applied.
//  19. Settle works when Put answers ErrFull.
//
// Next
//
//  20. Next gives the earliest time after the given one at which an item can be claimed, or has
//     expired (rule 28), that can or has not at the given time, as things stand; zero if there is
//     none. Its channel, unless nil, is closed when such a time earlier than the given answer may
//     have come up, or an item that can be claimed at once: by Put, Settle or Update. Claim need not
//     close it: the worker knows when its lease lapses. A nil channel says: ask again now and then.
//
// Events
//
//  21. Put stores one event for each item, Settle one for each item that it ends or makes wait (but
//     see 16), Update one for each item that it ends: in the same transaction, so that every item
//     has exactly one event with an end. A store that finds an item damaged may end it by
//     itself, with its event.
//  22. Events gives the oldest events, at most Max, in the order in which they were stored. Until they
//     are acknowledged, or until Now + Lease, other calls get none. Events that are not
//     acknowledged are given out again, also after a crash.
//  23. Ack is given the events of one answer, or the first few of them, and removes them. Those that are
//     gone already are passed over. The rest of the answer may be given out again at once.
//  24. When the last event of a message whose items have all ended is acknowledged, its body goes
//     (rule 5), and if its Keep is zero and no item is Damaged the message is forgotten, with its
//     items and its key.
//
// For people
//
//  25. List gives the items that match the query in a fixed order: messages in the order of their
//     Puts, items in the order of N; at most Limit, after After, which need not exist any more.
//  26. Update changes the items that match, at most Max, and says how many it changed, how many it
//     passed over because a lease on them runs (Until after Now), and whether it left some because of
//     Max. A changed item is under no token.
//  27. Cancel ends waiting, held and lapsed leased items as Cancelled: Due is Now, Note the change's,
//     or what it was if that is empty.
//  28. Expire ends waiting and lapsed leased items as Expired, in the same way, if their Expires is
//     not zero and not after Now. It looks at no others: its cost does not grow with the backlog.
//  29. Hold makes waiting and lapsed leased items Held. Requeue makes waiting, held and lapsed leased
//     items Waiting with Due as given, or Now if that is zero or earlier. Neither has an event.
//  30. Forget removes whole messages: those of which an item matches, all items have ended, all events
//     are acknowledged, and whose Keep has passed since the last end. Messages with a Damaged
//     item stay, unless Where names that state or the message.
//
// The whole
//
//  31. What is damaged is set aside: listed as Damaged, never delivered, and the rest of the store
//     works. What cannot be read at all is listed with what is known of it, be it nothing but an id.
//  32. After Close every call returns ErrClosed. Close may be called twice.
type Store interface {
	Put(ctx context.Context, b *Batch) (Stored, error)
	Open(ctx context.Context, message string) (Body, error)
	Claim(ctx context.Context, r ClaimRequest) (Lease, error)
	Settle(ctx context.Context, s Settlement) (lost []ID, err error)
	Next(ctx context.Context, after time.Time) (at time.Time, earlier <-chan struct{}, err error)

	Events(ctx context.Context, r EventsRequest) ([]Event, error)
	Ack(ctx context.Context, events []Event) error

	List(ctx context.Context, q Query) ([]Item, error)
	Update(ctx context.Context, c Change) (Changed, error)
	Close() error
}

// Batch is one message with its items.
type Batch struct {
	Now time.Time
	// Key makes Put idempotent; Fingerprint tells whether the same message is meant. Empty Key: it is not.
	Key, Fingerprint string
	// Tenant is for whom the message is sent: tenants get equal shares.
	Tenant string
	// Priority is Bulk, Normal or Urgent.
	Priority Priority
	// Common are bytes of the caller that all items share.
	Common []byte
	// Keep is how long the message is known after its end, so that it can be listed and its key
	// guards against a second Put. Zero or less: until its last event is acknowledged.
	Keep time.Duration
	// Body is opened once and closed before Put returns.
	Body Body
	// Items: To, Lane, Meta, Due and Expires are read, the rest is the store's.
	Items []Item
}

// Stored is the answer of Put.
type Stored struct {
	// Message is the id. The items are ID{Message, 0}, ID{Message, 1} and so on.
	Message string
	// Known says that the key was known, and that nothing was stored.
	Known bool
}

// ClaimRequest says what a worker can take.
type ClaimRequest struct {
	Now time.Time
	// Lease is how long the items are the worker's. It must be positive; the worker may extend it.
	Lease time.Duration
	// Backoff are the delays until the next attempt, by the number of attempts made, if nothing
	// more is heard of this one.
	Backoff []time.Duration
	// Max is the number of groups, Group the number of items in a group (zero: 100, see RFC 5321
	// s. 4.5.3.1.8), PerLane the number of groups of one lane (zero: no limit; negative: only of
	// the lanes in Lanes).
	Max, Group, PerLane int
	// Lanes are the limits of lanes other than PerLane. Zero or less: nothing of this lane. The
	// store only reads it, and not after Claim has returned.
	Lanes map[string]int
	// Order are the priorities, the most wanted first. Nil: Urgent, Normal, Bulk.
	Order []Priority
}

// Lease is what a worker got. No items: nothing can be claimed.
type Lease struct {
	// Token proves the lease to Settle.
	Token string
	Items []Item
}

// Settlement says what became of leased items. It need not name all of a lease.
type Settlement struct {
	Now      time.Time
	Token    string
	Outcomes []Outcome
}

// Outcome is what became of an item.
type Outcome struct {
	ID ID
	// State is Delivered, Failed, Expired or Damaged; Waiting to try again; Leased to go on.
	State State
	// Due is when to try again, or until when to go on.
	Due time.Time
	// Untried, with Waiting or Expired, says that there was no attempt.
	Untried bool
	// Note replaces the item's.
	Note []byte
}

// EventsRequest asks for events.
type EventsRequest struct {
	Now   time.Time
	Lease time.Duration // must be positive
	Max   int           // zero: 1000
}

// Query selects items. Zero fields match everything.
type Query struct {
	Message, Key, Tenant, Lane, To string
	State                          State
	After                          ID  // List: begin after this one
	Limit                          int // List: zero or more than 1000: 1000
}

// Match says whether the item has all that the query names.
func (q *Query) Match(i *Item) bool {
	return (q.Message == "" || q.Message == i.ID.Message) &&
		(q.Key == "" || q.Key == i.Key) &&
		(q.Tenant == "" || q.Tenant == i.Tenant) &&
		(q.Lane == "" || q.Lane == i.Lane) &&
		(q.To == "" || q.To == i.To) &&
		(q.State == "" || q.State == i.State)
}

// Op is what is done to items that are not in a worker's hands.
type Op string

// The operations.
const (
	Cancel  Op = "cancel"
	Expire  Op = "expire"
	Hold    Op = "hold"
	Requeue Op = "requeue"
	Forget  Op = "forget"
)

// Change is an operation on the items that match Where; its After and Limit are not read.
type Change struct {
	Now   time.Time
	Op    Op
	Where Query
	Due   time.Time // Requeue: zero: Now
	Note  []byte    // Cancel, Expire
	Max   int       // zero: 1000. Forget goes over it rather than split a message.
}

// Changed is the answer of Update.
type Changed struct {
	Items int
	Busy  int  // passed over for a running lease
	More  bool // Max was reached: call again
}
