// Package disk keeps a queue in a folder: what it has accepted survives the process and the machine.
//
//		Put, Claim, Settle, Ack ──calls──► committer ──one write and one sync for all who wait──► segments
//		                                       │                                                    │
//		                                       ▼                                                    │
//		                               what has changed ──checkpoint──► index (bbolt) ◄──── replay at Open
//
//	 1. A call prepares what it wants to store, and waits. One goroutine, the committer, makes the calls that have come together, in
//	    turn. Each becomes one record: a message with its body, new states of items, acknowledged events. It gets the
//	    next place in the log, and memory is changed as it says.
//	 2. Then the committer writes the records, makes them durable with one fdatasync, and lets the calls return. Each
//	    record has checksums; the number of the segment is in them.
//	 3. The index, the states of messages and the order in which they are due, follows in the
//	    background, with its position in the log in the same transaction. Memory keeps what the index does not know yet, and of each lane the first
//	    entries: it does not grow with the backlog.
//	 4. Open reads the index, and then the log from there. What a crash tore at the end is dropped, for nobody was told
//	    that it was stored. What has rotted before that is passed over and reported: its message is
//	    Damaged. A file of the log that has lost its title is left alone. A lost index is made again from the log, and so is one
//	    that is damaged: by the Open that finds it, else by the one after the call that does.
//	 5. A segment, 64 MiB, is used again when it is the oldest and nothing in it lives. When less than half of the log lives, what
//	    lives in the oldest is moved to the end. Only the oldest goes: so a record that says what became of a message
//	    outlives the message.
//
// A write or sync of the log that fails ends the store: every call answers with an error until it is closed and opened
// again. To sync the same file once more may say that all is well when it is not. When the disk is full Put
// answers queue.ErrFull, and a segment held in reserve lets deliveries settle. Each attempt takes a little of it, and what is delivered gives
// room: if the disk stays full, and nothing can be delivered for as long, the reserve ends, and the store waits for room.
//
// A medium that fails to read is not damage: Open is refused, and what cannot be read is tried again later. If it stays so, a copy of the
// folder helps in which the sectors that cannot be read are zeros. Events, and the room behind the oldest segment, are
// not waited for longer than 10 minutes.
//
// The duplicate window: an item is delivered a second time if the process or the machine dies after the far side has taken
// the message and before Settle has returned, which takes one sync.
// A Settle that was cut short may have been stored or not. Rot may take the record of a Settle, too.
//
// A spool of this format is opened by every later version. Of RFC 5321 it keeps s. 6.1: the
// responsibility for a message that was accepted is not lost for frivolous reasons, such as a crash.
package disk
