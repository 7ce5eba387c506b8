package postrider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// settings are the parameters of a URL that belong to the client, not to one transport.
type settings struct {
	dkim  []string
	queue []string
}

// collect takes the client's parameters out of a URL's.
func (s *settings) collect(p *parameters) {
	s.dkim = append(s.dkim, p.take("dkim")...)
	s.queue = append(s.queue, p.take("queue")...)
}

// apply sets up the client. The queue comes last: it is opened only when nothing else is wrong.
func (s *settings) apply(c *Client) error {
	if err := s.sign(c); err != nil {
		return err
	}
	for n, value := range s.queue {
		if n > 0 && value != s.queue[0] {
			return fmt.Errorf("queue=%s: there is one already", value)
		}
	}
	if len(s.queue) == 0 {
		return nil
	}
	store, err := openQueue(s.queue[0])
	if err != nil {
		return fmt.Errorf("queue=%s: %w", s.queue[0], err)
	}
	c.Queue = store
	return nil
}

// sign sets the signer.
func (s *settings) sign(c *Client) error {
	if len(s.dkim) == 0 {
		return nil
	}
	// Whoever names only an Ed25519 key here has chosen it: there is no other word for it in a URL.
	signer := &dkim.Signer{Ed25519Alone: true}
	for _, value := range s.dkim {
		domain, rest, _ := strings.Cut(value, ":")
		selector, file, ok := strings.Cut(rest, ":")
		if !ok || domain == "" || selector == "" || file == "" {
			return fmt.Errorf("dkim=%s: want DOMAIN:SELECTOR:KEYFILE", value)
		}
		key, err := dkim.LoadKey(file)
		if err != nil {
			return fmt.Errorf("dkim=%s: %w", value, err)
		}
		signer.Keys = append(signer.Keys, dkim.Key{Domain: domain, Selector: selector, Signer: key})
	}
	c.Signer = signer
	return nil
}

// openQueue opens a queue named in a URL.
func openQueue(value string) (queue.Store, error) {
	kind, folder, _ := strings.Cut(value, ":")
	switch {
	case value == "memory:":
		return &queue.Memory{}, nil
	case kind == "disk" && folder != "":
		return disk.Open(folder)
	}
	return nil, errors.New("want memory: or disk:PATH")
}
