// Package memory remembers how safely a domain's servers could be reached, and asks for no less
// later: who strips STARTTLS or forges a certificate tomorrow must have done so since the first mail.
//
//	connection ─► Record: encrypted, or with a valid certificate ─► remembered for 30 days
//	                                                                     │
//	route      ─► Apply: a known host must do as well as it did,  ◄──────┘
//	              a new host of a known domain must at least encrypt
//
// Neither RFC 7672 nor RFC 8461 asks for it; it is for the many domains that publish no policy, in the spirit
// of RFC 7435 s. 3 with trust on first use. A server that loses its certificate delays mail: what
// is demanded, why and until when stands in the route, [Policy.Known] lists it, [Policy.Forget] ends
// it for a domain, and [Policy.Level] bounds it for all.
package memory
