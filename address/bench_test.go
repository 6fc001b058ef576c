package address

import (
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	compact, err := home().Compact()
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]string{
		"text":                  homeText,
		"compact":               compact,
		"node id":               testKey(1).String(),
		"refused, 1 MB":         strings.Repeat("0,", 500_000),
		"refused, long text":    strings.Repeat("0-", MaxLength/2),
		"refused, long compact": compactPrefix + strings.Repeat("z", maxCompact-2),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(s)
			}
		})
	}
}

func BenchmarkString(b *testing.B) {
	a := home()
	for b.Loop() {
		_ = a.String()
	}
}

func BenchmarkCompact(b *testing.B) {
	a := home()
	for b.Loop() {
		if _, err := a.Compact(); err != nil {
			b.Fatal(err)
		}
	}
}
