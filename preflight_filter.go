package postrider

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Filter returns a Filter that refuses a message which its receivers would refuse, before it is sent: the
// error is ErrInvalid and names the rules. Recipients at Gmail, Yahoo, Microsoft and Apple are judged by
// their receiver; the others' receivers are taken to refuse what all four would. The identity of each author's domain is
// looked at once an hour, and every five minutes while it is refused; where the DNS does not answer,
// mail goes. Sample, ReturnPath and Sources are those of the Doctor.
func (d *Doctor) Filter() Filter {
	var c judgements
	return func(ctx context.Context, m *Message) error {
		r, err := c.get(ctx, d, m.From.Address)
		if err != nil {
			return nil // a malformed address is for Send to refuse, and no verdict is no reason
		}
		seen := map[string]bool{}
		for _, list := range [][]Address{m.To, m.Cc, m.Bcc} {
			for _, to := range list {
				domain := domainOf(to.Address)
				if seen[domain] {
					continue
				}
				seen[domain] = true
				if why := r.refusal(receiverOf(domain)); why != "" {
					return fmt.Errorf("%w: mail from %s to %s would be refused: %s", ErrInvalid, r.Domain, domain, why)
				}
			}
		}
		return nil
	}
}

// refusal says why a receiver refuses mail, or nothing. An unknown receiver refuses what all refuse.
func (r *Report) refusal(receiver string) string {
	why := ""
	for _, j := range r.Judgements {
		switch {
		case j.Receiver == receiver && j.Result == refused:
			return strings.Join(j.Because, ", ")
		case j.Receiver == receiver, receiver == "" && j.Result != refused:
			return ""
		}
		if receiver == "" {
			why = strings.Join(j.Because, ", ")
		}
	}
	return why
}

// receiverOf tells who takes the mail of a domain, as far as its name shows.
func receiverOf(domain string) string {
	name, rest, _ := strings.Cut(domain, ".")
	switch {
	case domain == "gmail.com" || domain == "googlemail.com":
		return "Gmail"
	case name == "yahoo" && (rest == "com" || len(rest) == 2 || strings.HasPrefix(rest, "co.") || strings.HasPrefix(rest, "com.")),
		domain == "aol.com", domain == "ymail.com", domain == "rocketmail.com":
		return "Yahoo"
	case domain == "msn.com", (name == "outlook" || name == "hotmail" || name == "live") && rest != "":
		return "Microsoft"
	case domain == "icloud.com", domain == "me.com", domain == "mac.com":
		return "Apple"
	}
	return ""
}

// judgements keeps reports for a while.
type judgements struct {
	mu      sync.Mutex
	reports map[string]judged
}

type judged struct {
	report *Report
	until  time.Time
}

const mostJudged = 1000 // domains

func (c *judgements) get(ctx context.Context, d *Doctor, from string) (*Report, error) {
	domain := domainOf(from)
	c.mu.Lock()
	kept, ok := c.reports[domain]
	c.mu.Unlock()
	if ok && time.Now().Before(kept.until) {
		return kept.report, nil
	}
	r, err := d.Preflight(ctx, from)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(time.Hour)
	if r.Err() != nil {
		until = time.Now().Add(5 * time.Minute)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reports == nil || len(c.reports) >= mostJudged {
		c.reports = make(map[string]judged)
	}
	c.reports[domain] = judged{r, until}
	return r, nil
}
