package main

import (
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
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

// parseBirthday reads --birthday: for whom a node dials many ports at once.
func parseBirthday(who string) (reflector.Birthday, error) {
	switch who {
	case "listed":
		return reflector.BirthdayListed, nil
	case "always":
		return reflector.BirthdayAlways, nil
	case "never":
		return reflector.BirthdayNever, nil
	}
	return 0, misused("try --birthday listed, always or never", "--birthday %q is not understood", who)
}
