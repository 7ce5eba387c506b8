// Sendmail is a drop-in for /usr/sbin/sendmail: it reads one message from standard input and sends
// it to the recipients on the command line, or with -t to those in its header.
//
//	sendmail [-t] [-i] [-f sender] [-F name] [-transport URL] [-transcript] [--] [recipient ...]
//
// The transport is what postrider.Open takes, from -transport or the variable POSTRIDER_URL; without
// either, mail goes directly to the servers of the recipients. -transcript prints the dialogue to
// standard error, without secrets.
//
// The exit code is one of sysexits.h: 0 when all recipients were accepted; 75 when something is
// temporary or unknown, so that trying again is right; 69 when a recipient was refused for good, and 67
// when that is because there is no such user; 64 for bad usage and 65 for a bad message, with which nothing was
// sent. For each recipient that was not accepted one line goes to standard error: address, fate, phase, reply
// code, enhanced status code and text, with "-" for a code that there is not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// Exit codes of sysexits.h.
const (
	exitOK          = 0
	exitUsage       = 64
	exitDataErr     = 65
	exitNoUser      = 67
	exitUnavailable = 69
	exitIOErr       = 74
	exitTempFail    = 75
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv("POSTRIDER_URL"), os.Stdin, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, url string, in io.Reader, errw io.Writer) int {
	complain := func(code int, err error) int {
		fmt.Fprintln(errw, "sendmail:", err)
		return code
	}
	a, err := parseArguments(args)
	if err != nil {
		return complain(exitUsage, err)
	}
	if a.session {
		return complain(exitUsage, errors.New("-bs is not supported"))
	}
	if a.transport == "" {
		a.transport = url
	}
	if a.transport == "" {
		a.transport = "direct://"
	}
	client, err := postrider.Open(a.transport)
	if err != nil {
		return complain(exitUsage, err)
	}
	defer closeClient(client)
	if !a.fromHeader && len(a.recipients) == 0 {
		return complain(exitUsage, errors.New("no recipient: name one, or use -t"))
	}
	for _, r := range a.recipients {
		if err := postrider.CheckAddress(r); err != nil {
			return complain(exitUsage, err)
		}
	}
	if a.sender != "" {
		if err := postrider.CheckAddress(a.sender); err != nil {
			return complain(exitUsage, err)
		}
	}
	message, err := readMessage(in, &a)
	if err != nil {
		return complain(exitDataErr, err)
	}
	if a.transcript {
		ctx = smtp.WithTrace(ctx, smtp.NewTranscript(errw).Trace())
	}
	receipt, err := client.SendRaw(ctx, a.sender, a.recipients, message)
	if receipt == nil && err != nil {
		if errors.Is(err, postrider.ErrInvalid) {
			return complain(exitDataErr, err)
		}
		return complain(exitIOErr, err)
	}
	return report(errw, receipt.Results)
}

// closeClient says QUIT, and does not wait long for the answer.
func closeClient(client *postrider.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client.Close(ctx)
}
