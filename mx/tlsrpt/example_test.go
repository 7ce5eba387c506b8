package tlsrpt_test

import (
	"encoding/json"
	"fmt"

	"github.com/postrider/postrider/mx/tlsrpt"
)

// What a report says: 120 sessions as the policy wants them, and 3 that found an expired certificate.
func ExamplePolicyResult() {
	result := &tlsrpt.PolicyResult{
		Policy:  tlsrpt.AppliedPolicy{Type: "sts", Domain: "example.net", MX: []string{"*.example.net"}},
		Summary: tlsrpt.Summary{Successful: 120, Failed: 3},
		Failures: []*tlsrpt.Failure{
			{Type: string(tlsrpt.CertificateExpired), Host: "mx2.example.net", Sessions: 3},
		},
	}
	text, err := json.MarshalIndent(result, "", "  ")
	fmt.Println(string(text), err)
	// Output:
	// {
	//   "policy": {
	//     "policy-type": "sts",
	//     "policy-domain": "example.net",
	//     "mx-host": [
	//       "*.example.net"
	//     ]
	//   },
	//   "summary": {
	//     "total-successful-session-count": 120,
	//     "total-failure-session-count": 3
	//   },
	//   "failure-details": [
	//     {
	//       "result-type": "certificate-expired",
	//       "receiving-mx-hostname": "mx2.example.net",
	//       "failed-session-count": 3
	//     }
	//   ]
	// } <nil>
}
