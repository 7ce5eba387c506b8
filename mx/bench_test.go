package mx_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mtasts"
)

// benchAnswer answers for any domain: two MX hosts of its own (one where the name begins with 1), each with an
// IPv4 address.
func benchAnswer(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg).SetReply(q)
	name := q.Question[0].Name
	h := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 3600}
	switch q.Question[0].Qtype {
	case dns.TypeMX:
		a.Answer = []dns.RR{&dns.MX{Hdr: h, Preference: 10, Mx: "mx1." + name}}
		if name[0] != '1' {
			a.Answer = append(a.Answer, &dns.MX{Hdr: h, Preference: 20, Mx: "mx2." + name})
		}
	case dns.TypeA:
		a.Answer = []dns.RR{&dns.A{Hdr: h, A: net.IPv4(9, 0, 0, 1)}}
	default:
		soa := &dns.SOA{Hdr: h, Ns: "ns." + name, Mbox: "hostmaster." + name, Minttl: 3600}
		soa.Hdr.Rrtype = dns.TypeSOA
		a.Ns = []dns.RR{soa}
	}
	return a
}

type resolverFunc func(ctx context.Context, q *dns.Msg) (*dns.Msg, error)

func (f resolverFunc) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) { return f(ctx, q) }

var benchResolver = resolverFunc(func(_ context.Context, q *dns.Msg) (*dns.Msg, error) { return benchAnswer(q), nil })

// BenchmarkRoute/warm is a route to a domain that is known: two MX hosts with an address each. With policies the
// domain is signed and has neither TLSA records nor an MTA-STS policy, which each policy finds in the cache.
func BenchmarkRoute(b *testing.B) {
	b.Run("warm", func(b *testing.B) {
		router := &mx.Router{Resolver: benchResolver}
		b.ReportAllocs()
		for b.Loop() {
			if route, err := router.Route(b.Context(), "example.test"); err != nil || len(route.Hosts) != 2 {
				b.Fatal(route, err)
			}
		}
	})
	b.Run("warm-policies", func(b *testing.B) {
		signed := resolverFunc(func(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
			a := benchAnswer(q)
			a.AuthenticatedData = true
			return a, nil
		})
		router := &mx.Router{Resolver: signed, TrustAD: true, Policies: []mx.Policy{&dane.Policy{}, &mtasts.Policy{}}}
		b.ReportAllocs()
		for b.Loop() {
			if route, err := router.Route(b.Context(), "example.test"); err != nil || len(route.Hosts) != 2 {
				b.Fatal(route, err)
			}
		}
	})
	b.Run("warm-parallel", func(b *testing.B) {
		router := &mx.Router{Resolver: benchResolver}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := router.Route(b.Context(), "example.test"); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("cold", func(b *testing.B) {
		router := &mx.Router{Resolver: benchResolver}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := router.Route(b.Context(), fmt.Sprintf("d%d.test", i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// listenBench serves benchAnswer over UDP, in a process of its own, as resolvers are: otherwise the runtime's
// scheduling between client and server would be measured.
func listenBench(b *testing.B) string {
	command := exec.Command(os.Args[0], "-test.run=^$")
	command.Env = append(os.Environ(), "MX_BENCH_SERVER=1")
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		command.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// serveBench is the other process: it prints its address and ends with its standard input.
func serveBench() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		w.WriteMsg(benchAnswer(q))
	})}
	go server.ActivateAndServe()
	fmt.Println(conn.LocalAddr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestMain(m *testing.M) {
	if os.Getenv("MX_BENCH_SERVER") != "" {
		if err := serveBench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkResolve asks for the MX records of a domain and the addresses of its first host, new names each
// time. The floor is a plain miekg/dns client on a socket that it keeps, in turn with ours in the same
// loop; x-floor is our time over its time.
func BenchmarkResolve(b *testing.B) {
	addr := listenBench(b)
	floor := func(b *testing.B) func(domain string) {
		client := &dns.Client{}
		conn, err := client.Dial(addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		ask := func(name string, qtype uint16) {
			q := new(dns.Msg).SetQuestion(name, qtype)
			q.SetEdns0(1232, false)
			if a, _, err := client.ExchangeWithConn(q, conn); err != nil || len(a.Answer) == 0 {
				b.Fatal(a, err)
			}
		}
		return func(domain string) {
			ask(domain, dns.TypeMX)
			ask("mx1."+domain, dns.TypeA)
		}
	}
	exchange := func(b *testing.B) func(domain string) {
		d := &mx.DNS{Servers: []string{addr}}
		ask := func(name string, qtype uint16) {
			q := new(dns.Msg).SetQuestion(name, qtype)
			q.SetEdns0(1232, false)
			if a, err := d.Exchange(b.Context(), q); err != nil || len(a.Answer) == 0 {
				b.Fatal(a, err)
			}
		}
		return func(domain string) {
			ask(domain, dns.TypeMX)
			ask("mx1."+domain, dns.TypeA)
		}
	}
	route := func(b *testing.B) func(domain string) {
		router := &mx.Router{Resolver: &mx.DNS{Servers: []string{addr}}, Network: "ip4"}
		return func(domain string) {
			if r, err := router.Route(b.Context(), domain[:len(domain)-1]); err != nil || len(r.Hosts) != 1 {
				b.Fatal(r, err)
			}
		}
	}
	for _, c := range []struct {
		name string
		ours func(b *testing.B) func(domain string)
	}{{"cold", exchange}, {"cold-route", route}} {
		b.Run(c.name, func(b *testing.B) {
			clients := [2]func(domain string){c.ours(b), floor(b)}
			var took [2]time.Duration
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for k := range clients {
					which := (i + k) % 2 // each goes first every other time
					domain := fmt.Sprintf("1%c%d.test.", 'a'+which, i)
					start := time.Now()
					clients[which](domain)
					took[which] += time.Since(start)
				}
			}
			b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N), "ours-ns/op")
			b.ReportMetric(float64(took[1].Nanoseconds())/float64(b.N), "floor-ns/op")
			b.ReportMetric(float64(took[0])/float64(took[1]), "x-floor")
		})
	}
}

// BenchmarkMemory fills the memory with 100,000 domains, each with hosts of its own, and reports the heap
// that they take and how many are still known.
func BenchmarkMemory(b *testing.B) {
	const domains = 100_000
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	name := func(i int) string { return fmt.Sprintf("company-number-%d.example.test", i) }
	b.Run("router", func(b *testing.B) {
		for b.Loop() {
			before := heap()
			var asked atomic.Int32
			router := &mx.Router{Network: "ip4", Resolver: resolverFunc(func(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
				asked.Add(1)
				return benchAnswer(q), nil
			})}
			for i := range domains {
				router.Route(b.Context(), name(i))
			}
			b.ReportMetric(heap()-before, "MB")
			known := 0
			for i := range domains {
				was := asked.Load()
				router.Route(b.Context(), name(i))
				if asked.Load() == was {
					known++
				}
			}
			b.ReportMetric(float64(known)/domains*100, "%known")
		}
	})
	b.Run("cache", func(b *testing.B) {
		for b.Loop() {
			before := heap()
			asked := 0
			cache := &mx.Cache{Resolver: resolverFunc(func(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
				asked++
				return benchAnswer(q), nil
			})}
			for i := range domains {
				cache.Exchange(b.Context(), new(dns.Msg).SetQuestion(name(i)+".", dns.TypeMX))
			}
			b.ReportMetric(heap()-before, "MB")
			known := 0
			for i := range domains {
				was := asked
				cache.Exchange(b.Context(), new(dns.Msg).SetQuestion(name(i)+".", dns.TypeMX))
				if asked == was {
					known++
				}
			}
			b.ReportMetric(float64(known)/domains*100, "%known")
			runtime.KeepAlive(cache)
		}
	})
}
