package mtasts_test

import (
	"context"
	"testing"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/memory"
	"github.com/postrider/postrider/mx/mtasts"
	"github.com/postrider/postrider/mx/mxtest"
)

// BenchmarkPolicies is what the policies add to a warm route, for a domain without and with promises. The
// floor is the route alone, measured in the same run: "×floor" is how many times longer it takes with them.
func BenchmarkPolicies(b *testing.B) {
	zone := mxtest.MustParse(`
		plain.test.  MX 10 mx.plain.test.
		mx.plain.test.  A 9.0.0.1
		signed.test. MX 10 mx.signed.test.
		mx.signed.test. A 9.0.0.1
		_25._tcp.mx.signed.test. TLSA 3 1 1 aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899
		pledged.test. MX 10 mx.pledged.test.
		mx.pledged.test. A 9.0.0.1
		_mta-sts.pledged.test. TXT "v=STSv1; id=1"
	`)
	zone.Authenticate("signed.test")
	cache := &mtasts.File{}
	cache.Put("pledged.test", mtasts.Entry{ID: "1", Fetched: time.Now(), Document: mtasts.Document{
		Mode: mtasts.Enforce, MX: []string{"mx.pledged.test"}, MaxAge: 1000 * time.Hour,
	}})
	bare := &mx.Router{Resolver: zone, TrustAD: true}
	held := &mx.Router{Resolver: zone, TrustAD: true, Policies: []mx.Policy{&dane.Policy{}, &mtasts.Policy{Cache: cache}, &memory.Policy{}}}
	for _, domain := range []string{"plain.test", "signed.test", "pledged.test"} {
		b.Run(domain, func(b *testing.B) {
			ctx := context.Background()
			run := func(r *mx.Router, n int) time.Duration {
				start := time.Now()
				for range n {
					if _, err := r.Route(ctx, domain); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			run(bare, 10)
			run(held, 10)
			b.ReportAllocs()
			n := 0
			start := time.Now()
			for b.Loop() {
				run(held, 1)
				n++
			}
			took := time.Since(start)
			b.ReportMetric(float64(took)/float64(run(bare, n)), "×floor")
		})
	}
}
