// Queue shows that accepted mail survives the death of the process. It starts a receiving server, and then
// itself as a worker that keeps mail in a disk queue and delivers it. The worker is killed without warning
// while it delivers; it is started again, and delivers what is left:
//
//	worker 1: Send … Send ─► disk queue ─► Run ─► server      killed in the middle
//	worker 2: Send … Send ─► disk queue ─► Run ─► server      all is known; delivers the rest, and asks Status
//
//	go run ./examples/queue
//
// Worker 2 does what worker 1 did: by its Key no mail is queued twice. At the end every mail has arrived, and Status
// says of each that it is delivered. One that arrived twice was delivered by the first worker and not yet written
// down as delivered when it died: SMTP cannot promise more (RFC 1047). As the worker delivers one mail at a time, it
// can be only one.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp/smtptest"
)

const (
	mails  = 200
	killAt = 60 // mails that have arrived
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if url := os.Getenv("QUEUE_WORKER"); url != "" {
		exit(work(ctx, url, os.Stdin, os.Stdout))
		return
	}
	exit(run(ctx, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

// run is the world of the workers: the server, and whoever kills them.
func run(ctx context.Context, w io.Writer) error {
	server := (&smtptest.Server{Delay: map[string]time.Duration{"END": 2 * time.Millisecond}}).Start()
	defer server.Close()
	spool, err := os.MkdirTemp("", "postrider-queue")
	if err != nil {
		return err
	}
	defer os.RemoveAll(spool)
	url := "smtp://" + server.Addr() + "?tls=none&hello=client.example.com&queue=disk:" + spool

	first, err := start(ctx, url)
	if err != nil {
		return err
	}
	if err := first.expect(w, fmt.Sprintf("queued %d mails, 0 were known", mails)); err != nil {
		return err
	}
	if _, err := server.Wait(ctx, killAt); err != nil {
		return err
	}
	if err := first.kill(); err != nil {
		return err
	}
	fmt.Fprintf(w, "the worker is killed; %d mails have arrived\n", server.Count())

	second, err := start(ctx, url)
	if err != nil {
		return err
	}
	if err := second.expect(w, fmt.Sprintf("queued 0 mails, %d were known", mails)); err != nil {
		return err
	}
	if err := second.expect(w, fmt.Sprintf("emptied the queue, by Status %d mails are delivered", mails)); err != nil {
		return err
	}
	second.stop()
	return judge(w, server.Messages())
}

// judge counts what arrived.
func judge(w io.Writer, arrived []*smtptest.Message) error {
	seen := make(map[string]bool)
	for _, m := range arrived {
		seen[m.Field("Subject")] = true
	}
	twice := len(arrived) - len(seen)
	fmt.Fprintf(w, "%d of %d mails have arrived, %d of them twice\n", len(seen), mails, twice)
	if len(seen) != mails {
		return fmt.Errorf("%d mails were lost", mails-len(seen))
	}
	if twice > 1 {
		return fmt.Errorf("%d mails arrived twice, and the kill can have cut only one delivery", twice)
	}
	return nil
}

// work is the worker: it accepts mail, says so, and delivers until its standard input ends.
func work(ctx context.Context, url string, stdin io.Reader, stdout io.Writer) error {
	client, err := postrider.Open(url)
	if err != nil {
		return err
	}
	client.Runner.LaneInitial, client.Runner.LaneMax = 1, 1 // slowly, so that it can be killed in the middle
	// What a dead worker had in its hands is tried again after these; minutes are better for real mail.
	client.Runner.Lease = 2 * time.Second
	client.Runner.Schedule.Delays = []time.Duration{2 * time.Second}
	ids, known, err := accept(ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "queued %d mails, %d were known\n", len(ids)-known, known)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client.Events = &left{queue: client, done: func() {
		n, err := delivered(ctx, client, ids)
		if err != nil {
			fmt.Fprintln(os.Stderr, "status:", err)
		}
		fmt.Fprintf(stdout, "emptied the queue, by Status %d mails are delivered\n", n)
	}}
	go func() {
		io.Copy(io.Discard, stdin)
		cancel()
	}()
	if err := client.Run(ctx); err != nil {
		return err
	}
	return client.Queue.Close()
}

// accept sends the mails. Those whose Key the queue knows are not queued again.
func accept(ctx context.Context, client *postrider.Client) (ids []string, known int, err error) {
	for n := range mails {
		receipt, err := client.Send(ctx, &postrider.Message{
			From:    postrider.Addr("", "ada@example.com"),
			To:      []postrider.Address{postrider.Addr("", "bob@example.org")},
			Subject: fmt.Sprint("mail ", n),
			Text:    "Hello.\n",
			Key:     fmt.Sprint("mail-", n),
		})
		if err != nil {
			return nil, 0, err // nothing else has taken responsibility for this mail
		}
		ids = append(ids, receipt.QueueID)
		if receipt.Known {
			known++
		}
	}
	return ids, known, nil
}

// delivered counts the mails that are, by Status.
func delivered(ctx context.Context, client *postrider.Client, ids []string) (n int, err error) {
	for _, id := range ids {
		events, err := client.Status(ctx, id)
		if err != nil {
			return n, err
		}
		for _, e := range events { // one for each recipient
			if e.Type == postrider.EventDelivered {
				n++
			}
		}
	}
	return n, nil
}

// worker is a process of this program.
type worker struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines *bufio.Reader
}

func start(ctx context.Context, url string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "QUEUE_WORKER="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

// expect waits for a line of the worker, and shows it.
func (w *worker) expect(out io.Writer, want string) error {
	line, err := w.lines.ReadString('\n')
	fmt.Fprintf(out, "worker: %s", line)
	if strings.TrimSpace(line) == want {
		return nil
	}
	return fmt.Errorf("the worker says %q, %v; want %q", line, err, want)
}

// kill ends the process as a power cut would: it learns nothing.
func (w *worker) kill() error {
	if err := w.cmd.Process.Kill(); err != nil {
		return err
	}
	w.cmd.Wait() // its error is the kill
	return nil
}

// stop lets the worker end by itself.
func (w *worker) stop() {
	w.in.Close()
	w.cmd.Wait()
}
