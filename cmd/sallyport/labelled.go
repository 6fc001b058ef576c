package main

import (
	"bytes"
	"io"
)

// labelled writes whole lines, each with a label in front.
type labelled struct {
	w     io.Writer
	label string
	part  []byte
}

// maxLine is where a line without an end is cut.
const maxLine = 64 << 10

func (l *labelled) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		end := bytes.IndexByte(l.part, '\n')
		if end < 0 {
			break
		}
		if _, err := l.w.Write(append([]byte(l.label), l.part[:end+1]...)); err != nil {
			return 0, err
		}
		l.part = l.part[end+1:]
	}
	if len(l.part) > maxLine {
		l.flush()
	}
	return len(p), nil
}

// flush writes what has no line end yet.
func (l *labelled) flush() {
	if len(l.part) > 0 {
		_, _ = l.w.Write(append([]byte(l.label), append(l.part, '\n')...))
		l.part = nil
	}
}
