// Package dane authenticates mail servers by TLSA records that DNSSEC vouches for.
//
// A [Policy] tightens a route in these steps:
//
//  1. The route's answers must be authentic: the MX records and the addresses of a host were
//     validated by a resolver that the operator trusts. Otherwise the host is left as it is.
//  2. The TLSA base domain of the host is found, along CNAMEs (RFC 7672 s. 2.2.2, 2.2.3).
//  3. Its TLSA records at _25._tcp are asked for. Bogus answers make the host unusable for now;
//     an authentic denial, or an answer that is not authentic, leaves the host as it is.
//  4. Records that SMTP can use (usage 2 and 3) become the demand of level DANE; if there are
//     records and none can be used, encryption is demanded and no authentication.
//  5. [Verify] compares the certificates of a finished handshake with the records.
//
// RFC 6698 (TLSA), RFC 7671 (its operation), RFC 7672 (DANE for SMTP), RFC 7435 (opportunistic
// security).
package dane
