package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// heartbeat is how often a stream of events that has none says that it is there.
const heartbeat = 15 * time.Second

// events streams what happens, as server-sent events. Without ?after=NUMBER or
// Last-Event-ID it begins with what happens next; after=0 gives all that is
// remembered first.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	after, err := eventAfter(r, s.log.latest())
	if err != nil {
		refuse(w, Invalid, err.Error(), "")
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		refuse(w, TooMany, "there are too many streams of events", "end one that is not needed")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	write := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil
	}
	if !write("retry: 1000\n\n") {
		return
	}
	for {
		events, first, lost, more := s.log.after(after)
		for k, e := range events {
			if k == 0 {
				e.Dropped += lost
			}
			b, err := json.Marshal(e)
			if err != nil || !write("id: %d\nevent: %s\ndata: %s\n\n", first+k, e.Event, b) {
				return
			}
		}
		after = first + len(events) - 1
		if control.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-beat.C:
			if !write(": still here\n\n") {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// eventAfter is after which event a stream begins.
func eventAfter(r *http.Request, latest int) (int, error) {
	text := r.Header.Get("Last-Event-ID")
	if q := r.URL.Query().Get("after"); q != "" {
		text = q
	}
	if text == "" {
		return latest, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("after and Last-Event-ID are numbers of events")
	}
	if n > latest { // of another run
		n = 0
	}
	return n, nil
}
