// Package mx says where mail for a domain goes and how safely.
package mx

import "errors"

var errNotBuilt = errors.New("mx: not built yet")
