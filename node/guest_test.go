package node

import (
	"net/netip"
	"testing"
)

// A relay of ours is not led into the site that it stands in because a peer says
// so, unless it serves such a site.
func TestRelayIsNotLedInside(t *testing.T) {
	const public, other = "198.51.100.7", "203.0.113.9"
	for _, c := range []struct {
		at, to string
		inside bool
	}{
		{public, other, false}, {public, public, false}, {"10.0.0.1", "10.0.0.2", false}, {"127.0.0.1", "127.0.0.1", false}, {"10.0.0.1", other, false},
		{public, "10.0.0.1", true}, {public, "127.0.0.1", true}, {public, "169.254.169.254", true}, {public, "100.64.0.1", true},
		{"2001:db8::1", "fd00::1", true}, {"2001:db8::1", "::1", true}, {"2001:db8::1", "2001:db8::2", false}, {public, "::ffff:10.0.0.1", true},
	} {
		if got := leadsInside(netip.MustParseAddr(c.at), netip.MustParseAddr(c.to)); got != c.inside {
			t.Errorf("from %s to %s: %v", c.at, c.to, got)
		}
	}
}

// Who can't meet at relays is told of a change that would do, and who had all
// that it takes is not.
func TestTermsNameTheRemedy(t *testing.T) {
	for _, c := range []struct {
		terms
		helps bool
	}{
		{terms{}, false},
		{terms{ours: true, lent: true}, false},
		{terms{ours: true, lent: true, theirs: true}, false},
		{terms{theirs: true, loan: true}, false},
		{terms{ours: true, theirs: true, loan: true}, false},
		{terms{ours: true}, true},
		{terms{theirs: true}, true},
		{terms{ours: true, theirs: true}, true},
	} {
		if got := c.remedy(); (got != "") != c.helps {
			t.Errorf("%+v: %q", c.terms, got)
		}
	}
}
