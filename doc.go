// Package postrider sends mail.
package postrider
