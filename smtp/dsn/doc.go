// Package dsn writes and reads the reports that mail systems send about mail: delivery status
// notifications, or bounces, and abuse feedback reports, or complaints.
//
//	               WriteTo
//	Report  ───────────────────►  multipart/report
//	  ▲                             1. text for people
//	  │         Parse               2. fields for programs: delivery-status or feedback-report
//	  └──────────────────────────   3. the message they are about, or its header
//
// A notification answers mail automatically, so it must never be answered in turn. Three rules keep it from
// looping (RFC 5321 s. 4.5.5, RFC 3834):
//
//  1. It is sent with the null reverse-path, as [Report.Envelope] does.
//  2. It is never sent about mail whose own reverse-path was null: ask [Wanted] first.
//  3. It says "Auto-Submitted: auto-replied".
//
// Anybody can forge a report. Act on a parsed one only if it names a message that was really sent: compare
// EnvelopeID or the returned Message-ID, and the recipient, with your own records.
//
// Standards: RFC 3464 (delivery status notifications), RFC 6522 (multipart/report), RFC 6533 (their
// internationalized forms), RFC 3461 (when they are wanted), RFC 3463 (status codes), RFC 5965 and RFC 6650
// (feedback reports), RFC 3834 (automatic responses).
package dsn
