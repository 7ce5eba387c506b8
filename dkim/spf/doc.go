// Package spf tells whether a host may send for a domain, and what it costs receivers to find out.
//
// The way of a check:
//
//  1. The records of the domain, and of those that it includes, are fetched through a DNS that counts, and
//     that refuses a record with a syntax error anywhere (RFC 7208 s. 4.6), also behind a match.
//  2. blitiri.com.ar/go/spf evaluates them, within 10 terms that ask the DNS and 2 void lookups
//     (s. 4.6.4).
//  3. Cost evaluates for an address that nothing matches, without these limits, and so finds how many a
//     receiver may need.
//
// RFC 7208 (SPF), RFC 8601 s. 2.7.2 for the words of the verdict. The explanation (exp=) is not fetched:
// it is text from a stranger.
package spf
