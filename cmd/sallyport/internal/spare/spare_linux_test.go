package spare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyUnchangedCopiesOfTheProgramAreUnmapped(t *testing.T) {
	list := pristine(strings.NewReader(`00400000-00ae0000 r--p 00000000 fe:00 123 /opt/my tools/sallyport
Size:               7040 kB
Rss:                6000 kB
Anonymous:             0 kB
00ae0000-01200000 r-xp 006e0000 fe:00 123 /opt/my tools/sallyport
Anonymous:             4 kB
01200000-01300000 rw-p 00e00000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
01300000-01400000 r--s 00e00000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
01400000-01500000 r-xp 00000000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 00:00 0
Anonymous:             0 kB
`), "/opt/my tools/sallyport")
	want := []span{{0x400000, 0xae0000}, {0x1400000, 0x1500000}}
	if diff := cmp.Diff(want, list, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
}
