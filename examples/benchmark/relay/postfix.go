//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = postfix.example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [%[2]s]:%[3]s
alias_maps =
alias_database =
smtp_host_lookup = native
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
`

const postfixMaster = `%[1]s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix with its defaults that relays all to the sink, an address of loopback: nothing
// can leave the machine.
func (b *bench) startPostfix(ctx context.Context) (*server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "postfix")
	host, port, _ := strings.Cut(b.sink.addr, ":")
	for _, d := range []string{dir, filepath.Join(dir, "spool"), filepath.Join(dir, "data")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(postfixMain, dir, host, port), "master.cf": fmt.Sprintf(postfixMaster, addr)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if out, err := b.command(ctx, "chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chown: %w: %s", err, out)
	}
	cmd := b.command(ctx, "postfix", "-c", dir, "start-fg")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: "postfix", addr: addr, cmd: cmd, stop: func() error {
		b.command(context.Background(), "postfix", "-c", dir, "stop").Run()
		return cmd.Wait()
	}}
	starting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := await(starting, addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}
