package control

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/sallyport-net/sallyport/node/api"
)

// Follow hands on what happens to the node in the background, until ctx ends or
// the node does. listening is called once: when nothing is missed any more, or
// when all is.
func (c *Client) Follow(ctx context.Context, listening func(), each func(api.Event)) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sallyport/v1/events", nil)
	if err != nil {
		listening()
		return
	}
	resp, err := c.http.Do(r)
	listening()
	if err != nil {
		return
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var e api.Event
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(text), &e) == nil {
			each(e)
		}
	}
}
