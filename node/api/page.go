package api

import (
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"rsc.io/qr"
)

// The page: nothing in it is secret, and nothing of it comes from elsewhere.
//
//go:embed page
var pageFiles embed.FS

//go:embed openapi.json
var openAPI []byte

var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pageFile gives the file that a request is for; "" where there is none.
func pageFile(r *http.Request) string {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	if r.Method != http.MethodGet || strings.Contains(name, "/") || pageTypes[path.Ext(name)] == "" {
		return ""
	}
	return name
}

func isPage(r *http.Request) bool { return pageFile(r) != "" }

// servePage reports whether the request was for a part of the page.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) bool {
	name := pageFile(r)
	b, err := pageFiles.ReadFile("page/" + name)
	if name == "" || err != nil {
		return false
	}
	w.Header().Del("Connection")
	w.Header().Set("Content-Type", pageTypes[path.Ext(name)])
	_, _ = w.Write(b)
	return true
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}

// Login is what a page shows to get in, and LoggedIn what it gets, beside a
// cookie.
type Login struct {
	Ticket string `json:"ticket"`
}

type LoggedIn struct {
	Key string `json:"key"`
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var l Login
	if !readJSON(w, r, &l) {
		return
	}
	cookie, key, ok := s.tickets.redeem(l.Ticket)
	if !ok {
		refuse(w, Forbidden, "the link is used up or too old", `run "sallyport status --open" for a new one`)
		return
	}
	_, port, _ := strings.Cut(r.Host, ":")
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(port), Value: cookie, Path: "/v1/", MaxAge: int(tabLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	answer(w, http.StatusOK, LoggedIn{key})
}

// darkSquares draws a QR code as an SVG path, a run of squares at a time.
func darkSquares(code *qr.Code) string {
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x, y, run, run)
				x += run
			}
		}
	}
	return b.String()
}
