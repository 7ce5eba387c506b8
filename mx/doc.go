// Package mx says where mail for a domain goes and how safely.
//
//	domain ─► MX ─► order, cut ─► A and AAAA ─► guard ─► Route ─► policies ─► Route with demands
//	              │                │
//	              └── Resolver ◄───┘     DNS: UDP, TCP, TLS to the servers of resolv.conf or named ones
//
// In steps:
//
//  1. The domain is mapped to A-labels and checked; an address literal goes straight to the guard.
//  2. Its MX records are asked for. Only an answer that surely holds none lets the domain's own
//     addresses stand in; a name that does not exist and a null MX are final; all else that fails is temporary.
//  3. Hosts are ordered by preference and by chance among equals; this host and those no better are cut,
//     for mail must not turn in circles; the best twenty remain.
//  4. All hosts' addresses are asked for at the same time. The guard refuses those that are not on the
//     public Internet. A host without addresses stays in the route and says why.
//  5. Each [Policy] may take hosts away and raise the [Demand] on a connection, and is held to that.
//
// Answers are kept for their TTL, an hour at most and five minutes for negative ones, and equal questions
// at the same time are asked once. The AD bit, on which DANE rests, counts only from resolvers that the
// operator trusts; see [Trusted].
//
// RFCs: 5321 s. 5 and 7505 (MX), 1035, 2181, 2308, 5452, 6891, 7766, 7858, 9715 (DNS and its transports), 4035 and
// 6840 (AD), 5890 and UTS 46 (international names), 6890 (special addresses), 8305 (address families).
package mx
