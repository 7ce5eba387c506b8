package postrider

import "slices"

// The results of a judgement.
const (
	passes  = "pass"
	atRisk  = "at risk"
	refused = "refused"
)

// fact is what was found out about one thing that receivers demand.
type fact struct {
	state   int
	because []string // rules of findings
}

const (
	unknown = iota // the zero value: it could not be found out
	good
	bad
)

// demand is a rule of a receiver: what happens where a fact is bad. Bulk: only for bulk mail.
type demand struct {
	fact   string
	bulk   bool
	result string
}

// receivers are the published rules of the four largest: Gmail's of February 2024, enforced by refusal since
// November 2025 (answers 5.7.25 to 5.7.29); Yahoo's of February 2024; Microsoft's of May 2025 (answer
// 550 5.7.515); Apple's of February 2025. What a domain's own DMARC policy asks for holds everywhere.
var receivers = []struct {
	name    string
	demands []demand
}{
	{"Gmail", []demand{
		{"domain", false, refused}, {"policy", false, refused}, {"identity", false, refused}, {"reverse", false, refused},
		{"spf", true, refused}, {"dkim", true, refused}, {"dmarc", true, refused}, {"aligned", true, refused},
		{"tls", false, refused}, {"unsubscribe", true, atRisk}, {"quarantine", false, atRisk}, {"key", false, refused},
	}},
	{"Yahoo", []demand{
		{"domain", false, refused}, {"policy", false, refused}, {"identity", false, refused}, {"reverse", false, refused},
		{"spf", true, refused}, {"dkim", true, refused}, {"dmarc", true, refused}, {"aligned", true, refused},
		{"unsubscribe", true, atRisk}, {"quarantine", false, atRisk}, {"key", false, refused},
	}},
	{"Microsoft", []demand{
		{"domain", false, refused}, {"policy", false, refused}, {"identity", false, atRisk}, {"reverse", false, atRisk},
		{"spf", true, refused}, {"dkim", true, refused}, {"dmarc", true, refused}, {"aligned", true, refused},
		{"unsubscribe", true, atRisk}, {"quarantine", false, atRisk},
	}},
	{"Apple", []demand{
		{"domain", false, refused}, {"policy", false, refused}, {"identity", false, refused}, {"reverse", false, refused},
		{"spf", false, atRisk}, {"dkim", false, atRisk}, {"dmarc", false, atRisk}, {"aligned", false, atRisk},
		{"unsubscribe", true, atRisk}, {"quarantine", false, atRisk},
	}},
}

// settle notes a fact, with the rules of the findings that speak against it.
func (x *examination) settle(name string, state int, because ...string) {
	x.facts[name] = fact{state, because}
}

// judge draws the conclusions.
func (x *examination) judge() {
	spf, dkim := x.facts["spf"], x.facts["dkim"]
	switch {
	case spf.state == good || dkim.state == good:
		x.settle("identity", good)
	case spf.state == bad && dkim.state == bad:
		x.settle("identity", bad, append(slices.Clone(spf.because), dkim.because...)...)
	default:
		x.settle("identity", unknown, append(slices.Clone(spf.because), dkim.because...)...)
	}
	for _, r := range receivers {
		j := Judgement{Receiver: r.name, Result: passes}
		for _, d := range r.demands {
			f := x.facts[d.fact]
			if f.state == good || d.bulk && !x.doctor.Bulk {
				continue
			}
			result := d.result
			if f.state == unknown {
				result = atRisk
			}
			if j.Result == passes || result == refused {
				j.Result = result
			}
			for _, rule := range f.because {
				if !slices.Contains(j.Because, rule) {
					j.Because = append(j.Because, rule)
				}
			}
		}
		x.report.Judgements = append(x.report.Judgements, j)
	}
}
