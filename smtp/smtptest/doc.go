// Package smtptest is a kit to test programs that send mail: a strict SMTP and LMTP server that
// keeps what it receives, dialogues written as text files, and connections that fail on demand.
//
//		program under test ──► Link (latency) ──► Fault (cut, stall, corrupt) ──► Server ──► Messages
//		                                                                      └─► Dialogue (testdata/*.smtp)
//
//	 1. [Server] listens on loopback, or on a [Pipe] in memory, so that it works inside a bubble of
//	    testing/synctest, where hours of waiting pass in no time.
//	 2. It checks every command and octet against the standards. What a client did wrong is answered
//	    with an error and listed by [Server.Violations].
//	 3. A hook, Server.Reply, or the maps beside it decide about single commands: refuse
//	    a recipient, answer 421, hang up, wait.
//	 4. Accepted mail is kept as [Message]; [Server.Wait] waits for it, [Expect] asserts it.
//	 5. [Dialogue] plays a file of C: and S: lines against a client, octet by octet.
//	 6. [Fault] breaks a connection at a given octet, [Link] gives it latency and cuts it in segments.
//
// The package depends on nothing of the sending side, so tests of any package may use it.
//
// Standards: RFC 5321 (SMTP), RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING, BINARYMIME),
// RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8),
// RFC 3461 (DSN), RFC 8689 (REQUIRETLS), RFC 2852 (DELIVERBY), RFC 6710 (MT-PRIORITY),
// RFC 4865 (FUTURERELEASE), RFC 9422 (LIMITS).
package smtptest
