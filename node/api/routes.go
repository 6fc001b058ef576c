package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"rsc.io/qr"
)

// route is one thing that clients may ask for.
type route struct {
	method, path string
	body         bool // has one
	public       bool // nobody needs a token for it
	local        bool // on the Unix socket only
	handle       func(*Server, http.ResponseWriter, *http.Request)
}

// NoRoute is the error of a request that this version does not know.
const NoRoute = "there is no such route"

// routes are all that there are; openapi.json describes them.
var routes []route

func init() { // the handlers of some of them look at the table
	routes = []route{
		{method: "GET", path: "/openapi.json", public: true, handle: (*Server).openAPI},
		{method: "POST", path: "/v1/login", body: true, public: true, handle: (*Server).login},
		{method: "POST", path: "/v1/tickets", handle: (*Server).newTicket},
		{method: "POST", path: "/v1/shutdown", local: true, handle: (*Server).shutdown},
		{method: "GET", path: "/v1/version", handle: (*Server).version},
		{method: "GET", path: "/v1/status", handle: (*Server).status},
		{method: "GET", path: "/v1/interfaces", handle: (*Server).interfaces},
		{method: "POST", path: "/v1/interfaces/probe", handle: (*Server).probe},
		{method: "GET", path: "/v1/address", handle: (*Server).address},
		{method: "GET", path: "/v1/address/qr", handle: (*Server).drawing},
		{method: "GET", path: "/v1/sessions", handle: (*Server).sessions},
		{method: "GET", path: "/v1/events", handle: (*Server).events},
		{method: "POST", path: "/v1/why", body: true, handle: (*Server).why},
		{method: "GET", path: "/v1/forwards", handle: (*Server).forwardList},
		{method: "POST", path: "/v1/forwards", body: true, local: true, handle: (*Server).forward},
		{method: "DELETE", path: "/v1/forwards/{name}", local: true, handle: (*Server).forwardEnd},
		{method: "GET", path: "/v1/connections", handle: (*Server).connections},
		{method: "POST", path: "/v1/connections", body: true, handle: (*Server).open},
		{method: "GET", path: "/v1/connections/{name}", handle: with((*Server).info)},
		{method: "DELETE", path: "/v1/connections/{name}", handle: with((*Server).close)},
		{method: "POST", path: "/v1/connections/{name}/send", body: true, handle: with((*Server).send)},
		{method: "POST", path: "/v1/connections/{name}/receive", handle: with((*Server).receive)},
		{method: "GET", path: "/v1/connections/{name}/tunnel", handle: with((*Server).tunnel)},
	}
}

// handler routes the requests of a listener; local is whether it is the Unix
// socket.
func (s *Server) handler(local bool) http.Handler {
	mux := http.NewServeMux()
	known := map[string][]string{}
	for _, r := range routes {
		if r.local && !local {
			continue
		}
		known[r.path] = append(known[r.path], r.method)
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			if !r.body && req.ContentLength != 0 {
				w.Header().Set("Connection", "close") // it is not read
				refuse(w, Invalid, "this request has no body", "")
				return
			}
			r.handle(s, w, req)
		})
	}
	for path, methods := range known {
		allow := strings.Join(methods, ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			w.Header().Set("Connection", "close")
			answer(w, http.StatusMethodNotAllowed, Problem{Error: r.Method + " is not for " + r.URL.Path, Hint: "use " + allow, Code: Invalid})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if !s.servePage(w, r) {
			refuse(w, NotFound, NoRoute, "GET /openapi.json names all of them")
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestWait + answerTime))
		mux.ServeHTTP(w, r)
	})
}

// secured sets what is true of every answer, refusals too: it is for nobody
// else's eyes, pages or caches.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		next.ServeHTTP(w, r)
	})
}

// bounded gives a body that nobody reads, as of a request that is refused, so
// long to come: net/http reads it to its end before the connection is used again,
// and for as long as it takes. Whoever reads it sets a deadline of its own.
func bounded(next http.Handler, long time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(long))
		}
		next.ServeHTTP(w, r)
	})
}

func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", policy)
}

// policy is the page's: scripts, styles and requests of our own and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// isPublic reports whether nobody needs a token for a request.
func isPublic(r *http.Request) bool {
	if isPage(r) {
		return true
	}
	for _, known := range routes {
		if known.public && known.method == r.Method && known.path == r.URL.Path {
			return true
		}
	}
	return false
}

// readBody reads a body of so many bytes at most, in bounded time. Where it
// can't, it has answered.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, bool) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = control.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answer(w, http.StatusRequestEntityTooLarge, Problem{Error: "the body is too long", Hint: "send it in pieces", Code: TooMany})
		return nil, false
	case err != nil:
		w.Header().Set("Connection", "close")
		refuse(w, Invalid, "the body did not come whole", "")
		return nil, false
	}
	return b, true
}

// readJSON reads a body that is one JSON object, and knows all of its fields.
func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	b, ok := readBody(w, r, maxJSON)
	if !ok {
		return false
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	if err != nil {
		refuse(w, Invalid, "the body is not the JSON that is expected: "+strings.TrimPrefix(err.Error(), "json: "), "GET /openapi.json describes it")
		return false
	}
	return true
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.cfg.Version)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Status()) }

// Status is the node as it stands.
func (s *Server) Status() Status {
	n := s.cfg.Node
	st := Status{
		Version: s.cfg.Version, PID: os.Getpid(), Since: s.since.UTC(), URL: s.at(), Address: AddressOf(n.Address()),
		Brokers: list(n.Brokers(), brokerOf), Interfaces: list(n.Places(), placeOf),
		Sessions: list(n.Sessions(), sessionOf), Connections: list(s.held.all(), (*held).describe),
		Forwards: list(s.forwards.all(), (*forwarding).describe),
	}
	broker, stun := n.Health()
	st.Health = Health{errorText(broker), errorText(stun)}
	for _, i := range st.Interfaces {
		if st.Verdict == "" || i.TCP.Answered+i.UDP.Answered > 0 {
			st.Verdict = i.Verdict
		}
		if i.TCP.Answered+i.UDP.Answered > 0 {
			break
		}
	}
	return st
}

func (s *Server) interfaces(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, list(s.cfg.Node.Places(), placeOf))
}

func (s *Server) sessions(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, list(s.cfg.Node.Sessions(), sessionOf))
}

// address gives the node's own address, or takes a target apart.
func (s *Server) address(w http.ResponseWriter, r *http.Request) {
	target := r.URL.Query().Get("target")
	if target == "" {
		answer(w, http.StatusOK, AddressOf(s.cfg.Node.Address()))
		return
	}
	peer, _, err := s.resolve(r.Context(), target)
	if err != nil {
		answerProblem(w, s.explain(err))
		return
	}
	answer(w, http.StatusOK, AddressOf(peer))
}

// Drawing is a QR code: path is an SVG path of its dark squares, each one unit
// wide, in a square of size units.
type Drawing struct {
	Text string `json:"text"`
	Size int    `json:"size"`
	Path string `json:"path"`
}

func (s *Server) drawing(w http.ResponseWriter, _ *http.Request) {
	a := AddressOf(s.cfg.Node.Address())
	text := a.Compact
	if text == "" {
		text = a.Address
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		refuse(w, Failed, "the address is too long for a QR code", "")
		return
	}
	answer(w, http.StatusOK, Drawing{text, code.Size, darkSquares(code)})
}

func (s *Server) newTicket(w http.ResponseWriter, _ *http.Request) {
	link := s.Link()
	if link == "" {
		refuse(w, NotFound, "this node has no page", "start it without --listen none")
		return
	}
	answer(w, http.StatusCreated, Ticket{link, int(ticketLife / time.Second)})
}

// Ticket opens the page once.
type Ticket struct {
	URL       string `json:"url"`
	ExpiresIn int    `json:"expires_in"` // seconds
}

func (s *Server) shutdown(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Shutdown == nil {
		refuse(w, Forbidden, "this node is not to be ended from here", "")
		return
	}
	answer(w, http.StatusAccepted, struct {
		PID int `json:"pid"`
	}{os.Getpid()})
	s.cfg.Shutdown()
}
