package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// keyHeader is where the page shows its key.
const keyHeader = "Sallyport-Key"

// guard lets in who may come over TCP: a request for this very host, not from
// another site's page, with the token, or from our own page.
func (s *Server) guard(next http.Handler, host string) http.Handler {
	_, port, _ := net.SplitHostPort(host)
	hosts := []string{host, "localhost:" + port}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !anyOf(r.Host, hosts):
			// A name that somebody's DNS points at us: the browser takes us for
			// that site, and would let its scripts read what we answer.
			refuse(w, Forbidden, "the Host header is not this server's", "use http://"+host+"/")
			return
		case !sameOrigin(r):
			refuse(w, Forbidden, "requests of other sites' pages are refused", "")
			return
		}
		if p, ok := r.Context().Value(publicly{}).(bool); ok && p || s.authorized(r, port) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="sallyport"`)
		answer(w, http.StatusUnauthorized, Problem{Error: "the token is missing or wrong", Hint: `send "Authorization: Bearer TOKEN", with the text of the file that "sallyport status" names; "sallyport status --open" gives a link to the page`, Code: Forbidden})
	})
}

// publicly marks the requests that nobody needs a token for.
type publicly struct{}

func anyOf(s string, list []string) bool {
	for _, one := range list {
		if strings.EqualFold(s, one) {
			return true
		}
	}
	return false
}

// sameOrigin reports whether a request is not some other site's. What is no
// browser sends neither header.
func sameOrigin(r *http.Request) bool {
	if origin, sent := r.Header["Origin"]; sent && (len(origin) != 1 || !strings.EqualFold(origin[0], "http://"+r.Host)) {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
		return true
	case "none": // typed, or opened from outside
		return r.Header.Get("Sec-Fetch-Mode") == "navigate"
	case "cross-site", "same-site": // a link in some page to ours, which has no secrets in it
		return r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return false
}

func (s *Server) authorized(r *http.Request, port string) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.cfg.Token != "" && same(token, s.cfg.Token)
	}
	cookie, err := r.Cookie(cookieName(port))
	return err == nil && s.tickets.admits(cookie.Value, r.Header.Get(keyHeader))
}

// same compares secrets in a time that tells nothing of them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// cookieName has the port, since browsers keep one jar for all ports.
func cookieName(port string) string { return "sallyport-" + port }
