package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/node/api"
)

// Who may not come in over TCP learns nothing, whatever the route.
func TestForeignersAreRefused(t *testing.T) {
	s := serve(t, nil)
	s.open("x")
	_, port, _ := strings.Cut(s.host, ":")
	bearer := "Bearer " + token
	for name, c := range map[string]struct {
		status  int
		headers []string
	}{
		"no token":              {401, nil},
		"wrong token":           {401, []string{"Authorization", "Bearer wrong"}},
		"empty token":           {401, []string{"Authorization", "Bearer "}},
		"basic":                 {401, []string{"Authorization", "Basic " + token}},
		"rebound name":          {403, []string{"Host", "evil.example:" + port, "Authorization", bearer}},
		"rebound, right origin": {403, []string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port, "Authorization", bearer}},
		"other port":            {403, []string{"Host", "127.0.0.1:1", "Authorization", bearer}},
		"no port":               {403, []string{"Host", "127.0.0.1", "Authorization", bearer}},
		"any address":           {403, []string{"Host", "0.0.0.0:" + port, "Authorization", bearer}},
		"cross-site origin":     {403, []string{"Origin", "https://evil.example", "Authorization", bearer}},
		"null origin":           {403, []string{"Origin", "null", "Authorization", bearer}},
		"https origin":          {403, []string{"Origin", "https://" + s.host, "Authorization", bearer}},
		"other local port":      {403, []string{"Origin", "http://127.0.0.1:1", "Authorization", bearer}},
		"other local name":      {403, []string{"Origin", "http://localhost:" + port, "Authorization", bearer}},
		"cross-site fetch":      {403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Authorization", bearer}},
		"same-site fetch":       {403, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Authorization", bearer}},
		"cookie alone":          {401, []string{"Cookie", "sallyport-" + port + "=x"}},
		"key alone":             {401, []string{"Sallyport-Key", "x"}},
		"good":                  {0, []string{"Authorization", bearer}},
		"good by name":          {0, []string{"Host", "localhost:" + port, "Authorization", bearer}},
		"good from our page":    {0, []string{"Origin", "http://" + s.host, "Sec-Fetch-Site", "same-origin", "Authorization", bearer}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range [][2]string{{"GET", "/v1/status"}, {"GET", "/v1/version"}, {"GET", "/v1/connections"}, {"POST", "/v1/tickets"}, {"GET", "/v1/connections/x"}, {"POST", "/v1/connections/x/send"}} {
				status, h, text := s.do(http.DefaultClient, "http://"+s.host, r[0], r[1], "", c.headers...)
				if c.status == 0 && status >= 300 || c.status != 0 && status != c.status {
					t.Errorf("%s %s: %d %s", r[0], r[1], status, text)
				}
				for k := range h {
					if strings.HasPrefix(k, "Access-Control-") {
						t.Errorf("other sites are told %s", k)
					}
				}
			}
			headers := http.Header{}
			for k := 0; k < len(c.headers); k += 2 {
				headers.Set(c.headers[k], c.headers[k+1])
			}
			ws, resp, err := websocket.DefaultDialer.Dial("ws://"+s.host+"/v1/connections/x/tunnel", headers)
			if err == nil {
				ws.Close()
			}
			if c.status != 0 && (err == nil || resp == nil || resp.StatusCode != c.status) {
				t.Errorf("the WebSocket: %v, %v", resp, err)
			}
			if c.status == 0 {
				if err != nil {
					t.Errorf("the WebSocket: %v", err)
				}
				// It has ended the connection.
				eventually(t, func() bool {
					status, _, _ := s.ask("GET", "/v1/connections/x", "")
					return status == 404
				})
				s.open("x")
			}
		})
	}
}

// What is no secret is served to anybody on this machine, with a strict policy,
// and to no other site's page.
func TestThePageIsGuarded(t *testing.T) {
	s := serve(t, nil)
	base := "http://" + s.host
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml", "/openapi.json": "application/json"} {
		status, h, _ := s.do(http.DefaultClient, base, "GET", path, "")
		csp := h.Get("Content-Security-Policy")
		if status != 200 || h.Get("Content-Type") != kind || !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", path, status, h)
		}
		if status, _, _ := s.do(http.DefaultClient, base, "GET", path, "", "Host", "evil.example"); status != 403 {
			t.Errorf("%s by a rebound name: %d", path, status)
		}
		if status, _, _ := s.do(http.DefaultClient, base, "GET", path, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); status != 403 {
			t.Errorf("%s from another site: %d", path, status)
		}
	}
	// A link to the page works from anywhere.
	if status, _, _ := s.do(http.DefaultClient, base, "GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"); status != 200 {
		t.Errorf("a link to the page: %d", status)
	}
	if status, _, _ := s.do(http.DefaultClient, base, "GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"); status != 403 {
		t.Errorf("the page in a frame: %d", status)
	}
	for _, path := range []string{"/nowhere.js", "/page/page.js", "/../openapi.json", "/..%2fopenapi.json", "/v1", "/page"} {
		if status, _, _ := s.do(http.DefaultClient, base, "GET", path, ""); status == 200 {
			t.Errorf("%s is served", path)
		}
	}
	if status, _, _ := s.do(s.local, "http://sallyport", "GET", "/v1/status", "", "Origin", "http://sallyport"); status != 403 {
		t.Errorf("a page on the Unix socket: %d", status)
	}
}

// A ticket lets one page in, which shows a cookie and a key from then on.
func TestTickets(t *testing.T) {
	s := serve(t, nil)
	base := "http://" + s.host
	ticket := decode[api.Ticket](t, s.want(201, "POST", "/v1/tickets", ""))
	at, secret, ok := strings.Cut(ticket.URL, "#")
	if !ok || at != base+"/" || len(secret) < 20 {
		t.Fatalf("%+v", ticket)
	}
	login := func(ticket string, headers ...string) (int, http.Header, string) {
		return s.do(http.DefaultClient, base, "POST", "/v1/login", `{"ticket":"`+ticket+`"}`, headers...)
	}
	if status, _, _ := login(secret, "Origin", "https://evil.example"); status != 403 {
		t.Errorf("from another site: %d", status)
	}
	if status, _, _ := login("wrong"); status != 403 {
		t.Errorf("with a wrong ticket: %d", status)
	}
	if status, _, _ := login(""); status != 403 {
		t.Errorf("without a ticket: %d", status)
	}
	status, h, text := login(secret, "Origin", base, "Sec-Fetch-Site", "same-origin")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	cookie := h.Get("Set-Cookie")
	for _, want := range []string{"; HttpOnly", "; SameSite=Strict", "; Path=/v1/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %q", cookie, want)
		}
	}
	cookie, _, _ = strings.Cut(cookie, ";")
	key := decode[api.LoggedIn](t, text).Key
	if status, _, _ := login(secret); status != 403 {
		t.Errorf("a second time: %d", status)
	}
	for name, c := range map[string]struct {
		status  int
		headers []string
	}{
		"both":         {200, []string{"Cookie", cookie, "Sallyport-Key", key}},
		"no key":       {401, []string{"Cookie", cookie}},
		"no cookie":    {401, []string{"Sallyport-Key", key}},
		"wrong key":    {401, []string{"Cookie", cookie, "Sallyport-Key", "wrong"}},
		"another site": {403, []string{"Cookie", cookie, "Sallyport-Key", key, "Origin", "http://evil.example"}},
	} {
		if status, _, _ := s.do(http.DefaultClient, base, "GET", "/v1/status", "", c.headers...); status != c.status {
			t.Errorf("%s: %d, not %d", name, status, c.status)
		}
	}
	// There are so many tickets and no more: the oldest make room.
	first := decode[api.Ticket](t, s.want(201, "POST", "/v1/tickets", ""))
	for range 16 {
		s.want(201, "POST", "/v1/tickets", "")
	}
	_, secret, _ = strings.Cut(first.URL, "#")
	if status, _, _ := login(secret); status != 403 {
		t.Errorf("a ticket that had to make room: %d", status)
	}
}
