// Package tlsrpt tells domains how well the TLS of their mail servers works.
//
//	route and outcome of each connection ─► Record: counted by day, domain and policy, bounded
//	                                             │ the day is over (UTC)
//	_smtp._tls.DOMAIN TXT ─► rua ─► Send ◄───────┘
//	                                  ├─► mailto: a message with the gzipped report, to be signed with DKIM
//	                                  └─► https: POST, guarded as connections to mail servers are
//
// Nothing is counted and nothing sent unless a program makes a [Reporter], hands it the outcomes
// and calls Send. Counts are in memory: a restart loses those of the day.
//
// RFC 8460 (SMTP TLS Reporting), RFC 8461 and RFC 7672 (the policies), RFC 6522 (multipart/report),
// RFC 8689 (a report is sent with "TLS-Required: No").
package tlsrpt
