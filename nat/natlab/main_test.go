package natlab

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// need skips a test where no lab can run.
func need(t testing.TB) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
}

// newLab makes a lab that ends with the test.
func newLab(t testing.TB, cfg Config) *Lab {
	t.Helper()
	need(t)
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newHost(t testing.TB, l *Lab, cfg HostConfig) *Host {
	t.Helper()
	h, err := l.Host(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newBox(t testing.TB, l *Lab, cfg NAT) *Box {
	t.Helper()
	b, err := l.NAT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
