package main

import (
	"encoding/base64"
	"io"
	"os"
)

// terminals are where this process' terminal may be opened, on any system.
var terminals = []string{"/dev/tty", "CONOUT$"}

// clipboard is the terminal, through which text gets onto the clipboard of
// whoever sits at it, over ssh as well: by OSC 52, which a terminal that does
// not know it or may not do it passes over.
type clipboard struct{ terminal io.WriteCloser }

// openClipboard wants a terminal.
func openClipboard() (clipboard, error) {
	for _, name := range terminals {
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			return clipboard{f}, nil
		}
	}
	return clipboard{}, misused("leave --copy out", "Not a terminal: there is no clipboard")
}

// put asks for text to be put there, and lets the terminal go.
func (c clipboard) put(text string) {
	_, _ = io.WriteString(c.terminal, "\x1b]52;c;"+base64.StdEncoding.EncodeToString([]byte(text))+"\a")
	_ = c.terminal.Close()
}
