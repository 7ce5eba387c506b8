// Package protect shows how mail is signed and encrypted for its readers, by S/MIME and by OpenPGP: each of
// its packages makes functions for the Protect field of a message.
//
//	Message ─► MIME entity ─► smime or pgp ─► multipart/signed or an encrypted entity ─► DKIM, sending
//
// It is a module of its own, so that only who needs them downloads the libraries.
//
// RFC 1847 (multipart/signed and multipart/encrypted), RFC 8551 (S/MIME), RFC 3156 (PGP/MIME).
package protect
