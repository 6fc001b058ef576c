package natlabtest

import (
	"flag"
	"strconv"
)

// sideBySide is how many parallel tests run at once. A laboratory waits for
// delays and timeouts far more than for a processor: five keep two cores a
// quarter busy.
const sideBySide = 5

// SideBySide lets five of a test binary's parallel tests run at once, unless
// -parallel says otherwise: go test's default is the number of processors. It
// is for TestMain, after natlab.Main.
func SideBySide() {
	if !flag.Parsed() {
		flag.Parse()
	}
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked && flag.Lookup("test.parallel") != nil {
		_ = flag.Set("test.parallel", strconv.Itoa(sideBySide))
	}
}
