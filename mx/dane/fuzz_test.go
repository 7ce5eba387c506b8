package dane_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx/dane"
)

// FuzzVerify feeds hostile records: only the data of the shown certificates may be accepted.
func FuzzVerify(f *testing.F) {
	root := authority(f, nil, "root")
	good := leaf(f, root, host)
	state := shown(good, root)
	for usage := range uint8(4) {
		for selector := range uint8(2) {
			for matching := range uint8(3) {
				f.Add(usage, selector, matching, record(usage, selector, matching, root).Data)
				f.Add(usage, selector, matching, record(usage, selector, matching, good).Data)
			}
		}
	}
	f.Add(uint8(3), uint8(1), uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		err := dane.Verify(state, []dane.Record{{Usage: usage, Selector: selector, Matching: matching, Data: data}}, []string{host})
		of := map[uint8]*identity{2: root, 3: good}[usage]
		right := of != nil && selector < 2 && matching < 3 && string(record(usage, selector, matching, of).Data) == string(data)
		if right != (err == nil) {
			t.Fatalf("%d %d %d %x: %v", usage, selector, matching, data, err)
		}
	})
}

// FuzzFromRR takes records as they come from the wire.
func FuzzFromRR(f *testing.F) {
	f.Add([]byte{0, 0, 52, 0, 1, 0, 0, 0, 0, 0, 4, 3, 1, 1, 0xab})
	f.Add([]byte{0, 0, 52, 0, 1, 0, 0, 0, 0, 0, 3, 3, 1, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		rr, _, err := dns.UnpackRR(wire, 0)
		if err != nil {
			return
		}
		tlsa, ok := rr.(*dns.TLSA)
		if !ok {
			return
		}
		r, err := dane.FromRR(tlsa)
		if err != nil {
			t.Fatalf("a record from the wire is refused: %v", err)
		}
		if len(r.String()) > 64 {
			t.Fatalf("String is long: %s", r)
		}
		dane.Usable([]dane.Record{r})
	})
}
