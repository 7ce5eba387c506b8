package postrider_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx/tlsrpt"
)

// A TLS report goes by mail to a real server, signed; others verify the signature and read the MIME.
func TestLabReport(t *testing.T) {
	needLab(t)
	user := mailbox(t)
	signer := labSigner(t)
	signer.Header = []string{"TLS-Report-Domain", "TLS-Report-Submitter"} // RFC 8460 s. 5.3
	client := &postrider.Client{Transport: labDirect(t), Signer: signer}
	defer client.Close(t.Context())
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	report := &tlsrpt.Report{
		Organization: "Example Inc.", Contact: "tlsrpt@example.test", Domain: "sts.test", ID: "2026-11-22.x@example.test",
		Dates: tlsrpt.DateRange{Start: day, End: day.Add(24*time.Hour - time.Second)},
		Policies: []*tlsrpt.PolicyResult{{
			Policy:   tlsrpt.AppliedPolicy{Type: "sts", Domain: "sts.test", Text: []string{"version: STSv1"}, MX: []string{"mx1.sts.test"}},
			Summary:  tlsrpt.Summary{Successful: 5326, Failed: 1},
			Failures: []*tlsrpt.Failure{{Type: string(tlsrpt.CertificateExpired), Host: "mx1.sts.test", Sessions: 1}},
		}},
	}
	to := user + "@postfix.example.test"
	message, err := report.Message(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.SendRaw(t.Context(), report.Contact, []string{to}, bytes.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	arrived := fetch(t, user)
	file := filepath.Join(t.TempDir(), "report.eml")
	if err := os.WriteFile(file, arrived, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", lab(t, "verify-dkim", file))
	if h := strings.ToLower(strings.ReplaceAll(string(arrived), "\r\n\t", "")); !strings.Contains(h, "tls-report-domain") || !strings.Contains(h, ":tls-report-submitter") {
		t.Error("the signature does not cover the TLS-Report fields")
	}
	var tree labTree
	if err := json.Unmarshal(lab(t, "parse-mime", file), &tree); err != nil {
		t.Fatal(err)
	}
	leaves := tree.leaves()
	if d := tree.defects(); len(d) > 0 || tree.Type != "multipart/report" || len(leaves) != 2 || leaves[1].Type != "application/tlsrpt+gzip" || leaves[1].Filename != report.Filename() {
		t.Errorf("defects %q, type %s, leaves %+v", d, tree.Type, leaves)
	}
}
