// Package mxtest is a piece of DNS for tests, written as zone-file text: it answers in process, or
// over UDP and TCP on a loopback address, and misbehaves on request.
//
//	zone file text ─► Zone ─┬─► Exchange: an mx.Resolver without sockets, at home in testing/synctest
//	faults, AD by domain ─► │   ServeDNS: a dns.Handler, for servers of one's own (DNS over TLS)
//	                        └─► Listen:   UDP and TCP on one address
//
// In steps:
//
//  1. [Parse] or [MustParse] reads the records. Names need not belong together: one text may hold
//     example.com, its mail host and the PTR record of its address.
//  2. A question is answered as a recursive resolver would: CNAMEs are followed, wildcards expanded,
//     and a name that does not exist is told from a name without such records.
//  3. [Zone.Authenticate] marks domains whose answers carry the AD bit, as a validating resolver
//     would set it; no signatures are made.
//  4. [Zone.Fail] makes names fail: response codes, delay, silence, truncation, or anything that
//     a function can do to an answer.
//
// RFCs: 1034 and 1035 (DNS, zone files), 2308 (negative answers), 4592 (wildcards), 4035 s. 3.2.3 and
// 6840 s. 5.7 and 5.8 (the AD bit), 6891 (EDNS0).
package mxtest
