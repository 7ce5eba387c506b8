package main

import (
	"fmt"
	"strings"
)

// arguments are what the command line asks for.
type arguments struct {
	fromHeader bool   // -t: recipients stand in To, Cc and Bcc
	keepDots   bool   // -i: a line with a lone dot does not end the message
	session    bool   // -bs: SMTP on standard input
	sender     string // -f
	senderSet  bool
	fullName   string // -F
	transport  string // -transport
	transcript bool   // -transcript
	recipients []string
}

// parseArguments reads options as sendmail does: values may be attached to a one-letter option, and
// what callers hand to every sendmail but means nothing here is taken without effect.
func parseArguments(args []string) (a arguments, err error) {
	value := func(option, attached string, i *int) string {
		if attached != "" {
			return attached
		}
		if *i++; *i >= len(args) {
			err = fmt.Errorf("%s needs a value", option)
			return ""
		}
		return args[*i]
	}
	for i := 0; i < len(args) && err == nil; i++ {
		arg := args[i]
		name, attached, hasValue := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		switch {
		case arg == "--":
			a.recipients = append(a.recipients, args[i+1:]...)
			return a, nil
		case !strings.HasPrefix(arg, "-") || arg == "-":
			a.recipients = append(a.recipients, arg)
		case name == "-transport" || name == "transport":
			if hasValue && attached == "" {
				return a, fmt.Errorf("-transport needs a value")
			}
			a.transport = value("-transport", attached, &i)
		case arg == "-transcript" || arg == "--transcript":
			a.transcript = true
		case arg == "-t" || arg == "-ti" || arg == "-it":
			a.fromHeader = true
			a.keepDots = a.keepDots || len(arg) == 3
		case arg == "-i" || arg == "-oi":
			a.keepDots = true
		case arg == "-bs":
			a.session = true
		case arg == "-bm" || arg == "-U" || arg == "-n" || arg == "-m" || arg == "-v" || arg == "-G":
		case strings.HasPrefix(arg, "-f") || strings.HasPrefix(arg, "-r"):
			// -f "" is the null sender, as is -f "<>".
			a.sender, a.senderSet = strings.TrimSuffix(strings.TrimPrefix(value("-f", arg[2:], &i), "<"), ">"), true
		case strings.HasPrefix(arg, "-F"):
			a.fullName = value("-F", arg[2:], &i)
		case strings.HasPrefix(arg, "-o") && len(arg) > 2, strings.HasPrefix(arg, "-B") && len(arg) > 2:
		case strings.HasPrefix(arg, "-o"), strings.HasPrefix(arg, "-B"), strings.HasPrefix(arg, "-h") && arg != "-help":
			value(arg[:2], arg[2:], &i)
		default:
			return a, fmt.Errorf("unknown option %s", arg)
		}
	}
	return a, err
}
