// Package report says what happened to mail.
//
//		Client ─► Event ─► Stats: counts by day, domain, tenant and class ─► a table, or rows
//
//	 1. A client tells its Events what became of each recipient; Stats is such a Sink.
//	 2. Each event of the program's mail counts once, under the day, the recipient's domain, the tenant and the class of what happened.
//	 3. Rows gives the counts to programs, WriteTo to people.
//
// RFC 3463 (the classes of enhanced status codes).
package report
