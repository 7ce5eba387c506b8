// Package smtp speaks SMTP (RFC 5321) and LMTP (RFC 2033) as a client: it takes an [Envelope],
// carries it to a [Server] over pooled connections, and returns one [Result] for each recipient.
//
//		Deliver ─► lane (one Server) ─► session ─► writer ─► network
//		   ▲          who waits           queue of transactions  │
//		   └───────── results ◄────────── reader ◄───────────────┘
//
//	 1. [Pool.Deliver] checks the envelope (address.go, fits.go) before anything is sent.
//	 2. The lane of the Server gives the transaction a place on a session that stands, or dials
//	    (lane.go, dial.go); a session begins with greeting, EHLO, STARTTLS and AUTH (handshake.go).
//	 3. The message is read into memory and checked, when it is small: no bare CR or LF, no line over
//	    998 octets (load.go, body.go). A large one is streamed later (stream.go).
//	 4. The session lets each transaction send what may be sent now (send.go). With PIPELINING and
//	    CHUNKING that is all of it, MAIL, RCPT and BDAT LAST with the message: one round trip; and the next
//	    transaction follows without waiting. With PIPELINING alone the message and its dot leave with
//	    MAIL, RCPT and DATA of the next. Without, commands go in lockstep.
//	 5. One goroutine writes, one reads replies (write.go, session.go); each reply belongs to the oldest
//	    command without one, and moves its transaction on (transaction.go).
//	 6. What is open when a connection ends is settled by what was sent: a message that was sent whole is
//	    [ErrUnsure], a transaction of which the server saw nothing is tried on another connection, all
//	    else was not accepted (end.go). What servers mishandle is remembered (learn.go).
//
// Extensions are used when the message needs them, not because they are offered. Every command passes
// one function that lets no control character through (command.go).
//
// Standards: RFC 5321 (SMTP), RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING, BINARYMIME),
// RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 2034 and 3463 (enhanced status
// codes), RFC 3461 and 6533 (DSN), RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 7435
// (opportunistic security), RFC 8689 (REQUIRETLS), RFC 4954 (AUTH), RFC 4422 (SASL), RFC 5802 and
// 7677 (SCRAM), RFC 7628 (OAUTHBEARER), RFC 2852 (DELIVERBY), RFC 6710 (MT-PRIORITY), RFC 4865
// (FUTURERELEASE), RFC 9422 (LIMITS), RFC 8305 (Happy Eyeballs).
package smtp
