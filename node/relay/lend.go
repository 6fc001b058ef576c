package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	// lentFor is how long lent credentials make allocations: a call, and ten
	// minutes by which clocks may differ.
	lentFor = 10 * time.Minute
	// lentPrefix begins the names of those to whom credentials were lent.
	lentPrefix = "lent-"
	// lentQuota is how many allocations each of them may have.
	lentQuota = 4
)

// Lend makes credentials for a guest who is to come to this allocation, and
// whose network lets it out to nothing but the relay itself. They are good for
// ten minutes; whoever the guest is stands in them as a name that means nothing
// to others, by which quotas count. On a Server they lead nowhere but to the
// endpoints of those who have its secret. ok is false where we have no secret
// to make them of: a password that does not expire is never lent.
func (a *Allocation) Lend(guest []byte) (p Place, ok bool) {
	if a.place.Secret == "" {
		return Place{}, false
	}
	mac := hmac.New(sha256.New, []byte(a.place.Secret))
	mac.Write([]byte("sallyport lends to"))
	mac.Write(guest)
	p = Place{Host: a.server.at, TLS: a.place.TLS, Name: a.place.name()}
	p.User, p.Password = Credentials(a.place.Secret, lentPrefix+hex.EncodeToString(mac.Sum(nil)[:8]), a.now().Add(lentFor))
	return p, true
}

// isLent reports whether a user name is one of Lend's.
func isLent(name string) bool { return strings.HasPrefix(name, lentPrefix) }
