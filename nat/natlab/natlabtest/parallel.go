package natlabtest

import (
	"flag"
	"strconv"
)

// SideBySide lets n of a test binary's parallel tests run at once, unless
// -parallel says otherwise. go test's default is the number of processors, but
// laboratories wait for delays and timeouts far more than they compute: eight
// keep two cores a quarter busy. It is for TestMain, after natlab.Main.
func SideBySide(n int) {
	if !flag.Parsed() {
		flag.Parse()
	}
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked && flag.Lookup("test.parallel") != nil {
		_ = flag.Set("test.parallel", strconv.Itoa(n))
	}
}
