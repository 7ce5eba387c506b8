// Package mtasts keeps mail to the servers that a domain names in its MTA-STS policy, over TLS with
// certificates that are valid for them.
//
// A [Policy] tightens a route in these steps:
//
//  1. The TXT record at _mta-sts.DOMAIN says whether there is a policy, and its id.
//  2. A policy that is in the [Cache] and not expired counts, whatever DNS and HTTPS say now. It is
//     fetched anew when the id changed or when it is a day old.
//  3. Otherwise it is fetched from https://mta-sts.DOMAIN/.well-known/mta-sts.txt: with a valid
//     certificate, without redirects, within limits of time and size. A failure means that the
//     domain has no policy, and is told in a finding.
//  4. In mode "enforce" hosts that the policy does not name are cut from the route, and the others
//     must be verified. Hosts that DANE protects are left to DANE. In mode "testing" the same is
//     only written into the findings.
//
// RFC 8461 (MTA-STS).
package mtasts
