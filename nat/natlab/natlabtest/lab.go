// Package natlabtest builds laboratories for tests.
package natlabtest

import (
	"testing"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// New makes a laboratory that ends with the test. Where none can run, the test is
// skipped, and says why.
func New(t testing.TB, cfg natlab.Config) *natlab.Lab {
	t.Helper()
	if err := natlab.Available(); err != nil {
		t.Skipf("the lab can't run here: %v", err)
	}
	lab, err := natlab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// Host adds one to the laboratory.
func Host(t testing.TB, lab *natlab.Lab, cfg natlab.HostConfig) *natlab.Host {
	t.Helper()
	h, err := lab.Host(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// NAT adds one to the laboratory.
func NAT(t testing.TB, lab *natlab.Lab, cfg natlab.NAT) *natlab.Box {
	t.Helper()
	box, err := lab.NAT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
