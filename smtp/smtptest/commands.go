package smtptest

import (
	"strconv"
	"strings"
)

// last are the commands that must end a group, for their reply may change what follows (RFC 2920 s. 3.1;
// RFC 3207 s. 4 and RFC 4954 s. 4 for STARTTLS and AUTH).
var last = map[string]bool{"EHLO": true, "HELO": true, "LHLO": true, "DATA": true, "VRFY": true, "EXPN": true,
	"NOOP": true, "QUIT": true, "STARTTLS": true, "AUTH": true}

func (s *session) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	if s.r.Buffered() > 0 {
		if !s.offered("PIPELINING") && verb != "BDAT" {
			s.violation("more octets after %.80q, but PIPELINING was not offered", line)
		} else if last[verb] {
			s.violation("more octets after %.80q, which must be the last of its group (RFC 2920 s. 3.1)", line)
		}
	}
	switch verb {
	case "EHLO", "HELO", "LHLO":
		s.step(verb, line, func() (string, func()) { return s.helo(verb, rest) })
	case "STARTTLS":
		s.step(verb, line, func() (string, func()) { return s.starttls(rest) })
	case "AUTH":
		s.auth(line, rest)
	case "MAIL":
		s.step(verb, line, func() (string, func()) { return s.mail(rest) })
	case "RCPT":
		s.step(verb, line, func() (string, func()) { return s.rcpt(rest) })
	case "DATA":
		s.step(verb, line, func() (string, func()) { return s.dataCommand(rest) })
	case "BDAT":
		s.bdat(line, rest)
	case "RSET":
		s.step(verb, line, func() (string, func()) { return "250 2.0.0 ok", func() { s.transaction = transaction{} } })
	case "NOOP":
		s.step(verb, line, func() (string, func()) { return "250 2.0.0 ok", nil })
	case "VRFY":
		s.step(verb, line, func() (string, func()) { return "252 2.1.5 send some mail, I will try", nil })
	case "QUIT":
		s.step(verb, line, func() (string, func()) { return "221 2.0.0 bye", func() { s.done = true } })
	default:
		s.violation("unknown command %.80q", line)
		s.step(verb, line, func() (string, func()) { return "500 5.5.2 unknown command", nil })
	}
}

func (s *session) helo(verb, name string) (string, func()) {
	if (verb == "LHLO") != s.srv.LMTP {
		s.violation("%s on a server that speaks %s", verb, s.protocol())
		return "500 5.5.1 wrong protocol", nil
	}
	if !validHello(name) {
		s.violation("%s %.80q: neither a domain nor an address literal (RFC 5321 s. 4.1.1.1)", verb, name)
		return "501 5.5.4 bad name", nil
	}
	reply := "250 " + s.srv.Name
	if verb != "HELO" {
		for _, keyword := range s.offers() {
			reply += "\n250 " + keyword
		}
	}
	return reply, func() { s.hello, s.esmtp, s.transaction = name, verb != "HELO", transaction{} }
}

// offers are the keywords for this connection, as it is now.
func (s *session) offers() []string {
	var offers []string
	for _, e := range s.srv.extOrder {
		keyword, _, _ := strings.Cut(strings.ToUpper(e), " ")
		switch {
		case keyword == "STARTTLS" && s.tls != nil, // RFC 3207 s. 4.2
			keyword == "REQUIRETLS" && s.tls == nil: // RFC 8689 s. 2
		default:
			offers = append(offers, e)
		}
	}
	if m := s.mechanisms(); len(m) > 0 {
		offers = append(offers, "AUTH "+strings.Join(m, " "))
	}
	return offers
}

// offered says whether the client has been told of an extension.
func (s *session) offered(keyword string) bool {
	if !s.esmtp {
		return false
	}
	for _, e := range s.offers() {
		if k, _, _ := strings.Cut(e, " "); strings.EqualFold(k, keyword) {
			return true
		}
	}
	return false
}

func (s *session) starttls(rest string) (string, func()) {
	switch {
	case rest != "":
		s.violation("STARTTLS with a parameter")
		return "501 5.5.4 no parameters", nil
	case !s.offered("STARTTLS"):
		s.violation("STARTTLS was not offered")
		return "502 5.5.1 no TLS", nil
	}
	return "220 2.0.0 go ahead", func() {
		if s.flush() != nil {
			s.done = true
		} else if n := s.r.Buffered(); n > 0 {
			s.violation("%d octets between STARTTLS and its reply", n)
			s.drop()
		} else {
			s.handshake()
		}
	}
}

func (s *session) mail(rest string) (string, func()) {
	from, params, reply := s.path("MAIL", "FROM:", rest)
	switch {
	case reply != "":
		return reply, nil
	case s.hello == "":
		s.violation("MAIL before EHLO")
		return "503 5.5.1 say hello first", nil
	case s.open:
		if !s.srv.Sticky {
			s.violation("MAIL within a transaction")
		}
		return "503 5.5.1 nested MAIL", nil
	case s.srv.AuthRequired && s.user == "":
		return "530 5.7.0 authentication required", nil
	case s.limit("MAILMAX") > 0 && s.mails >= s.limit("MAILMAX"):
		s.violation("more than MAILMAX=%d transactions (RFC 9422)", s.limit("MAILMAX"))
		return "421 4.5.3 too many messages", func() {}
	}
	if size, _ := strconv.ParseInt(params["SIZE"], 10, 64); s.srv.MaxSize > 0 && size > s.srv.MaxSize {
		return "552 5.3.4 message too big", nil
	}
	return "250 2.1.0 sender ok", func() {
		s.mails++
		s.transaction = transaction{open: true, from: from, params: params}
	}
}

func (s *session) rcpt(rest string) (string, func()) {
	to, params, reply := s.path("RCPT", "TO:", rest)
	switch {
	case reply != "":
		return reply, nil
	case !s.open:
		// A client that pipelines cannot know that its MAIL was refused, so this is no violation.
		return "503 5.5.1 no transaction", nil
	case s.chunks > 0:
		s.violation("RCPT after BDAT")
		return "503 5.5.1 too late", nil
	case s.limit("RCPTMAX") > 0 && len(s.to) >= s.limit("RCPTMAX"):
		return "452 4.5.3 too many recipients", nil
	}
	accept := func() {
		s.to = append(s.to, to)
		s.rcptParams = append(s.rcptParams, params)
	}
	if refusal, ok := s.srv.Refuse[to]; ok {
		return refusal, accept
	}
	return "250 2.1.5 recipient ok", accept
}

// limit reads a value of LIMITS (RFC 9422), 0 when there is none.
func (s *session) limit(name string) int {
	if !s.esmtp {
		return 0
	}
	for field := range strings.FieldsSeq(s.srv.ext["LIMITS"]) {
		if value, ok := strings.CutPrefix(field, name+"="); ok {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return 0
}
