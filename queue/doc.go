// Package queue keeps items of mail until the fate of each is known.
package queue
