package netwatch

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

func TestMain(m *testing.M) {
	natlab.Main()
	goleak.VerifyTestMain(m)
}
