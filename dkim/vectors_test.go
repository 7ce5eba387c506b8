package dkim_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

// The message that RFC 6376 appendix A and RFC 8463 appendix A sign.
const dinner = `From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`

// RFC 6376 appendix A.2.
const rfc6376 = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
`

// RFC 8463 appendix A.3.
const rfc8463 = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`

// RFC 6376 appendix C; RFC 8463 appendix A.2.
var vectorKeys = zone{
	"brisbane._domainkey.example.com": "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
		"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
	"brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	"test._domainkey.football.example.com": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bd" +
		"OKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}

func TestVectors(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    string
	}{
		"RFC 6376 A": {rfc6376 + dinner, "example.com rsa-sha256 joe@football.example.com pass"},
		"RFC 8463 A": {rfc8463 + dinner, "football.example.com ed25519-sha256 @football.example.com pass, football.example.com rsa-sha256 @football.example.com pass"},
		// What relaxed forgives, and simple does not.
		"RFC 6376 A with another space": {rfc6376 + strings.Replace(dinner, "game. ", "game.  ", 1), "example.com rsa-sha256 joe@football.example.com fail"},
		"RFC 8463 A with another space": {rfc8463 + strings.Replace(dinner, "game. ", "game.  ", 1), "football.example.com ed25519-sha256 @football.example.com pass, football.example.com rsa-sha256 @football.example.com pass"},
		"RFC 8463 A, changed":           {rfc8463 + strings.Replace(dinner, "dinner", "supper", 1), "football.example.com ed25519-sha256 @football.example.com fail, football.example.com rsa-sha256 @football.example.com fail"},
	} {
		list, err := dkim.Verify(t.Context(), strings.NewReader(crlf(c.message)), vectorKeys.lookup)
		var got []string
		for _, v := range list {
			got = append(got, v.Domain+" "+v.Algorithm+" "+v.Identity+" "+string(v.Result))
		}
		if s := strings.Join(got, ", "); s != c.want || err != nil {
			t.Errorf("%s: %s (%v), want %s", name, s, err, c.want)
		}
	}
}

// Our body hash of the message is that of the RFCs.
func TestVectorBodyHash(t *testing.T) {
	signer := dkim.Signer{Keys: both("football.example.com")}
	fields := must(signer.Sign(strings.NewReader(crlf(dinner))))
	if n := strings.Count(string(fields), "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"); n != 2 {
		t.Errorf("%d fields have the body hash of RFC 8463 appendix A.3:\n%s", n, fields)
	}
}
