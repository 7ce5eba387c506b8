// Package benchmark measures postrider and other Go libraries side by side, in one run, so that only
// ratios count. It is a module of its own: who uses postrider does not download its peers.
//
//	content ─► each library builds the message ─► io.Discard
//	message ─► each library sends it ─► loopback, or a link with 20 ms each way ─► the same server
//
//	go test -run xxx -bench Compose -benchmem        composing one message (RFC 5322, RFC 2045)
//	go test -run xxx -bench Send -benchtime 3s       sending it (RFC 5321): round trips, rate, processor time
//	go run ./throughput                              one connection, beside Postfix's smtp-source (RFC 2920);
//	                                                 -postfix DIR where Postfix is not installed
//	go run ./relay                                   a whole server: accept, sign (RFC 6376, RFC 8463), store, relay, beside
//	                                                 Postfix; its package comment says how
//
// Each case is built by its library in the way its documentation shows. Tests make sure that the work is
// the same: every library writes the same parts, and the same mail arrives.
package benchmark
