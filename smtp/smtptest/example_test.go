package smtptest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

// A program that sends mail is pointed at the server, and the mail is looked at.
func ExampleServer() {
	server := (&smtptest.Server{Extensions: []string{"PIPELINING"}}).Start() // no STARTTLS
	defer server.Close()

	// The program under test; here it is the standard library.
	err := smtp.SendMail(server.Addr(), nil, "ada@example.com", []string{"bob@example.org"},
		[]byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello, Bob\r\n"))
	fmt.Println("error:", err)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	messages, err := server.Wait(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := messages[0]
	fmt.Println(m.From, "to", m.To)
	fmt.Println(m.Field("Subject"))
	fmt.Print(m.Text())
	// Output:
	// error: <nil>
	// ada@example.com to [bob@example.org]
	// Grüße
	// Hello, Bob
}

// What happens to mail when a server refuses some of it?
func ExampleServer_refuse() {
	server := (&smtptest.Server{
		Extensions: []string{},
		Refuse:     map[string]string{"gone@example.org": "550 5.1.1 no such user"},
		Reply: func(verb, line string) string {
			if verb == "MAIL" && strings.Contains(line, "<spammer@") {
				return "451 4.7.1 try again later"
			}
			return "" // as usual
		},
	}).Start()
	defer server.Close()

	send := func(from, to string) {
		err := smtp.SendMail(server.Addr(), nil, from, []string{to}, []byte("Subject: hi\r\n\r\nhi\r\n"))
		if refusal, ok := errors.AsType[*textproto.Error](err); ok {
			fmt.Println(refusal.Code, refusal.Msg)
		}
	}
	send("ada@example.com", "gone@example.org")
	send("spammer@example.com", "bob@example.org")
	fmt.Println(len(server.Messages()), "messages,", len(server.Violations()), "violations")
	// Output:
	// 550 no such user
	// 451 try again later
	// 0 messages, 0 violations
}

// A client certificate, and a server that asks for it.
func ExampleCA() {
	ca := smtptest.NewCA()
	client, server := net.Pipe()
	go func() {
		config := ca.Client("mx.example.test")
		config.Certificates = []tls.Certificate{ca.Certificate("ada.example.com")}
		c := tls.Client(client, config)
		fmt.Fprintln(c, "hello")
		c.Close()
	}()
	c := tls.Server(server, ca.Server("mx.example.test"))
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Printf("%q %v %s\n", line, err, c.ConnectionState().PeerCertificates[0].Subject.CommonName)
	// Output: "hello\n" <nil> ada.example.com
}

// A server without a port. Made inside a bubble of testing/synctest, it lives in the time of the bubble.
func ExamplePipe() {
	server := (&smtptest.Server{Listener: smtptest.NewPipe()}).Start()
	defer server.Close()
	c, err := server.Dial(context.Background(), "tcp", "mx.example.org:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	greeting, _ := bufio.NewReader(c).ReadString('\n')
	fmt.Print(greeting)
	// Output: 220 mx.example.test ESMTP ready
}

// A dialogue against a program: the server's side is a file, and each octet of the program's is compared.
// In a test Dialogue does the same, for all connections of a pool, and fails the test.
func ExamplePlay() {
	dir, err := os.MkdirTemp("", "dialogue")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "hello.smtp")
	os.WriteFile(file, []byte(`# the greeting, and a client that says a name of its own
S: 220 mx.example.test
C~ EHLO [a-z.]+
S: 250-mx.example.test
S: 250 PIPELINING
C: MAIL FROM:<ada@example.com>
S: 451 4.3.0 later
`), 0o600)

	// The program under test; here it is the standard library.
	client, server := net.Pipe()
	go func() {
		c, err := smtp.NewClient(client, "mx.example.test")
		if err == nil {
			c.Hello("mail.example.com")
			c.Mail("bob@example.com")
		}
		client.Close()
	}()
	err = smtptest.Play(server, nil, file)
	fmt.Println(strings.TrimPrefix(err.Error(), dir+"/"))
	// Output: hello.smtp:6: client sent "MAIL FROM:<bob@example.com>", want "MAIL FROM:<ada@example.com>"
}

// The connection breaks after the twelfth octet that the server sends.
func ExampleFault() {
	server := (&smtptest.Server{Listener: smtptest.NewPipe()}).Start()
	defer server.Close()
	dial := func() net.Conn {
		c, err := server.Dial(context.Background(), "tcp", "")
		if err != nil {
			panic(err)
		}
		return smtptest.Fault{Kind: smtptest.Cut, At: 12}.Conn(c)
	}
	c := dial()
	defer c.Close()
	got, err := io.ReadAll(c)
	fmt.Printf("%q %v\n", got, errors.Is(err, smtptest.ErrCut))
	// Output: "220 mx.examp" true
}

// A dial function with 20 ms in each direction.
func ExampleLink() {
	server := (&smtptest.Server{Listener: smtptest.NewPipe()}).Start()
	defer server.Close()
	dial := smtptest.Link{Delay: 20 * time.Millisecond}.Dial(server.Dial)

	begin := time.Now()
	c, err := dial(context.Background(), "tcp", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	bufio.NewReader(c).ReadString('\n')
	fmt.Println(time.Since(begin) >= 60*time.Millisecond) // connection and greeting
	// Output: true
}

// What a message carries, decoded.
func ExampleMessage_Parts() {
	m := &smtptest.Message{Data: []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.png\r\n\r\niVBO\r\n" +
		"--b--\r\n")}
	parts, err := m.Parts()
	for _, p := range parts {
		fmt.Printf("%s %q %q\n", p.Type, p.Name, p.Body)
	}
	fmt.Printf("%q %v\n", m.Text(), err)
	// Output:
	// text/plain "" "a=b"
	// image/png "x.png" "\x89PN"
	// "a=b" <nil>
}
