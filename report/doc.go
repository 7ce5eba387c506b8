// Package report says what happened to mail.
package report
