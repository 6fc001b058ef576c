package serve

import (
	"strconv"
	"strings"
	"testing"
)

// Every metric has a name of its own, a line of help, and the type that its
// name says.
func TestExposition(t *testing.T) {
	s := start(t)
	seen := map[string]bool{}
	all := append(s.metrics(), processMetrics()...)
	for _, m := range all {
		if seen[m.name] || !strings.HasSuffix(m.help, ".") || strings.ContainsAny(m.help, "\n\\") || strings.ContainsFunc(m.name, func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z')
		}) {
			t.Errorf("%+v, seen %v", m, seen[m.name])
		}
		seen[m.name] = true
	}
	lines := strings.Split(strings.TrimSuffix(string(exposition(all)), "\n"), "\n")
	if len(lines) != 3*len(all) {
		t.Fatalf("%d lines for %d metrics", len(lines), len(all))
	}
	for n, m := range all {
		kind := "gauge"
		if strings.HasSuffix(m.name, "_total") {
			kind = "counter"
		}
		name, value, _ := strings.Cut(lines[3*n+2], " ")
		if _, err := strconv.ParseFloat(value, 64); err != nil || name != m.name ||
			lines[3*n] != "# HELP "+m.name+" "+m.help || lines[3*n+1] != "# TYPE "+m.name+" "+kind {
			t.Errorf("%q", lines[3*n:3*n+3])
		}
	}
}
