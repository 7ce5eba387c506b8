// Package benchmark measures postrider and other Go libraries side by side, in one run, so that only
// ratios count. It is a module of its own: who uses postrider does not download its peers.
//
//	content ─► each library builds the message ─► io.Discard
//
//	go test -run xxx -bench Compose -benchmem    composing one message (RFC 5322, RFC 2045)
//
// Each case is built by its library in the way its documentation shows.
package benchmark
