package main

import (
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// parseAllow reads --allow: everyone, nobody, or node ids (an address in its
// compact form will do); everyone may stand beside ids, which then count as
// listed.
func parseAllow(list string) (signaling.Admission, error) {
	const hint = "try --allow everyone, --allow nobody or --allow ID,ID"
	var keys []address.Key
	var everyone, nobody bool
	for word := range strings.SplitSeq(list, ",") {
		switch word = strings.TrimSpace(word); word {
		case "everyone":
			everyone = true
		case "nobody":
			nobody = true
		default:
			a, err := address.Parse(word)
			if err != nil {
				return signaling.Admission{}, misused(hint, "--allow: %v", err)
			}
			if a.Key.IsZero() {
				return signaling.Admission{}, misused(hint, "--allow: node id %q is not a key, so nobody can prove to be that node", a.Foreign)
			}
			keys = append(keys, a.Key)
		}
	}
	switch {
	case nobody && (everyone || len(keys) > 0):
		return signaling.Admission{}, misused(hint, "--allow: nobody stands alone")
	case nobody:
		return signaling.Nobody(), nil
	case everyone:
		return signaling.Everyone(keys...), nil
	}
	return signaling.Only(keys...), nil
}

// checkBirthday checks --birthday: for whom a node dials many ports at once.
func checkBirthday(who string) error {
	switch who {
	case "listed", "always", "never":
		return nil
	}
	return misused("try --birthday listed, always or never", "--birthday %q is not understood", who)
}
