package relay

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// validity is that of credentials which a node makes for itself: long enough
// for a connection to outlive it on servers that look at the time again
// whenever an allocation is refreshed.
const validity = 24 * time.Hour

// Credentials makes a user and a password that a server with the same secret
// accepts until then, in the form of the TURN REST API
// (draft-uberti-behave-turn-rest-00): the user is "expiry:name" with the expiry
// in seconds since 1970, the password base64(HMAC-SHA-1(secret, user)). name
// must have no colon; quotas count by it.
func Credentials(secret, name string, until time.Time) (user, password string) {
	user = strconv.FormatInt(until.Unix(), 10) + ":" + name
	return user, passwordFor(secret, user)
}

func passwordFor(secret, user string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// readUser takes "expiry:name" apart.
func readUser(user string) (name string, until time.Time, ok bool) {
	expiry, name, ok := strings.Cut(user, ":")
	sec, err := strconv.ParseInt(expiry, 10, 64)
	if !ok || err != nil || name == "" || len(user) > maxSecret {
		return "", time.Time{}, false
	}
	return name, time.Unix(sec, 0), true
}
