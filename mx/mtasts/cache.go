package mtasts

import (
	"sync"
	"time"

	"github.com/postrider/postrider/mx/internal/journal"
)

// Entry is a policy as it was fetched.
type Entry struct {
	// ID is the id of the TXT record at that time.
	ID       string    `json:"id"`
	Document Document  `json:"document"`
	Fetched  time.Time `json:"fetched"`
}

// Expires is the time after which the policy says nothing any more.
func (e *Entry) Expires() time.Time { return e.Fetched.Add(min(e.Document.MaxAge, MaxMaxAge)) }

// Cache keeps policies by domain (A-labels, lower case). It must be safe for concurrent use. An
// error is told and the mail goes on: without a cache each mail fetches the policy anew, and whoever
// keeps it from being fetched switches it off.
type Cache interface {
	// Get returns a nil Entry for a domain that is not there. Expired entries may be returned.
	Get(domain string) (*Entry, error)
	Put(domain string, e Entry) error
	// Domains lists the domains of all entries.
	Domains() ([]string, error)
}

// File is a Cache in one file, which it creates: a line of JSON for each change, rewritten now and
// then by an atomic rename. One process uses it at a time. The zero value keeps its entries in memory only.
type File struct {
	// Path is the file. Empty: memory only.
	Path string
	// Limit is the number of domains; beyond it the least recently used goes. Zero: 65536.
	Limit int

	once    sync.Once
	journal journal.Journal[Entry]
}

func (f *File) open() *journal.Journal[Entry] {
	f.once.Do(func() { f.journal.Path, f.journal.Limit = f.Path, f.Limit })
	return &f.journal
}

// Get returns the entry of a domain.
func (f *File) Get(domain string) (*Entry, error) {
	e, ok, err := f.open().Get(domain)
	if !ok {
		return nil, err
	}
	return &e, err
}

// Put keeps the entry of a domain.
func (f *File) Put(domain string, e Entry) error { return f.open().Put(domain, e) }

// Domains lists the domains, the most recently used first.
func (f *File) Domains() ([]string, error) { return f.open().Keys() }
