// Package dkim signs messages so that receivers can tell who answers for them, and verifies such
// signatures.
//
// The way of a message through a Signer:
//
//  1. The message is written once into a Signature. Its header is gathered (at most 1 MiB) and checked.
//  2. At the blank line the author's domain chooses the keys: a missing or unfit key stops the mail
//     before its body is read.
//  3. The body is canonicalised and hashed as it passes, once for all keys; memory stays flat.
//  4. Fields writes one DKIM-Signature field for each key, RSA before Ed25519.
//
// A Signer has no state of its own: any number of goroutines can use one.
//
// RFC 6376 (DKIM), RFC 8301 (algorithms and key sizes), RFC 8463 (Ed25519), RFC 8616 (A-labels),
// RFC 8058 (one-click unsubscribe asks for signed List-Unsubscribe fields).
package dkim
