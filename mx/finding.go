package mx

// Finding is what one policy found about a route. Reports to the domain are made of findings and
// of the outcomes of connections (RFC 8460 s. 4).
type Finding struct {
	// Type is "tlsa" or "sts" (RFC 8460 s. 4.4, policy-type).
	Type string
	// Domain is the policy domain: the TLSA base domain, or the domain with the MTA-STS policy.
	Domain string
	// Hosts are the names of the route's hosts that the policy covers.
	Hosts []string
	// Text is the policy, one record or line each, and MX are its host patterns. Both may be empty
	// when the policy could not be had.
	Text, MX []string
	// Enforced says that the policy decides about delivery and not only about reports.
	Enforced bool
	// Result is the result type of RFC 8460 s. 4.3.2 when the policy itself failed, such as
	// "dnssec-invalid", and Reason says why in words. Empty: the policy is sound.
	Result, Reason string
}

// Raise makes the demand at least as strong as level. Why says which policy asks; it is added
// to what earlier policies said. A demand is never lowered.
func (d *Demand) Raise(level Level, why string) {
	if level > d.Level {
		d.Level = level
	}
	if d.Why != "" {
		d.Why += "; "
	}
	d.Why += why
}

// String returns the level's name in lower case.
func (l Level) String() string {
	switch l {
	case Opportunistic:
		return "opportunistic"
	case Encrypted:
		return "encrypted"
	case Verified:
		return "verified"
	case DANE:
		return "dane"
	}
	return "unknown"
}
