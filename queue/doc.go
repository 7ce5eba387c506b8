// Package queue keeps items, each bound for one recipient, until the fate of every one is known.
//
// It does not know what mail is: an item is an address in a lane, with opaque bytes of its caller.
// The way of one item:
//
//		caller ──Put──► Store ──Claim──► Runner ──Deliver──► Handler
//		                  ▲                 │ one call for the items of one message and lane
//		                  └────Settle───────┘
//		                Store ──Events──► Runner ──Record──► Handler, if it is a Recorder
//
//	 1. Put stores a body and its items in one transaction and returns when they are durable.
//	 2. Claim gives due items out under a lease, fairly among priorities, tenants and lanes, and has stored
//	    when each is tried again before it returns: a crash retries later instead of hammering.
//	 3. A Handler attempts the delivery and says for each item what became of it.
//	 4. Settle stores the fates and one event for each in one transaction. A lease is fenced: a worker
//	    that lost it can settle nothing.
//	 5. Events hands the events out, in order, until they are acknowledged: at least once.
//
// The contract of a Store is the comment of that type; package queuetest is the same list as tests. Memory
// is a Store for tests and for mail that may be lost with the process.
//
// The duplicate window: SMTP cannot promise that a message is delivered exactly once (RFC 1047). An item is
// attempted again if the process, or the store, dies after the far side has taken the message and
// before Settle has returned. Two other things repeat a delivery: a far side whose answer was lost, and a
// lease that lapses while its worker still delivers, so that another one claims the item. A lease is extended
// when half of it is over; so that takes a worker, or a way to the store, that stands still for as
// long as the other half, or two workers whose clocks differ by as much. Clocks that agree to within
// seconds are good enough for the usual lease of 2 minutes.
//
// Retry intervals follow RFC 5321 s. 4.5.4.1.
package queue
