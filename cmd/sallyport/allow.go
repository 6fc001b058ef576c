package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

// parseAllow reads --allow: everyone, nobody, or node ids (an address in its
// compact form will do); everyone may stand beside ids, which then count as
// listed.
func parseAllow(list string) (signaling.Admission, error) { return parseWho("--allow", list) }

// parseWho reads the list of a flag as --allow takes it.
func parseWho(flag, list string) (signaling.Admission, error) {
	hint := fmt.Sprintf("try %[1]s everyone, %[1]s nobody or %[1]s ID,ID", flag)
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
			var parse *address.ParseError
			if errors.As(err, &parse) && parse.Failure == address.UnknownForm {
				return signaling.Admission{}, misused(hint, "%s: %q is no node id", flag, word)
			}
			if err != nil {
				return signaling.Admission{}, misused(hint, "%s: %v", flag, err)
			}
			if a.Key.IsZero() {
				return signaling.Admission{}, misused(hint, "%s: node id %q is not a key, so nobody can prove to be that node", flag, a.Foreign)
			}
			keys = append(keys, a.Key)
		}
	}
	switch {
	case nobody && (everyone || len(keys) > 0):
		return signaling.Admission{}, misused(hint, "%s: nobody stands alone", flag)
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
