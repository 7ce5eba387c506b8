// Package dmarc tells whether the author that a message shows is the one that SPF or DKIM vouch for, and what
// the author's domain wants done where it is not.
//
// The way of an evaluation:
//
//  1. Discover asks the DNS for the record of the author's domain, or else walks up the tree to that of
//     its organisation or of the public suffix: at most eight questions.
//  2. The domains that passed SPF and DKIM are compared with the author's: the same domain (strict) or the
//     same organisation (relaxed). Each organisation is found by a walk of its own.
//  3. One that is aligned is a pass. Otherwise the policy of the record applies: p, sp or np, one
//     step weaker where the record is in test mode.
//
// RFC 9989 (DMARC), which replaced RFC 7489 and the public suffix list by the tree walk; RFC 8601 for the
// words of the verdict.
package dmarc
