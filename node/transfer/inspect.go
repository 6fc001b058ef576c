package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

// inspect looks at what is there of each file, and at the room for the rest.
func (g *receiving) inspect() error {
	var missing, held int64
	for i, e := range g.offer.Entries {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		local := localPath(e.Path, runtime.GOOS)
		if e.Folder {
			info, err := g.Root.Lstat(local)
			if err == nil && !info.IsDir() {
				return inTheWay(e.Path, info)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return outside(e.Path, err)
			}
			continue
		}
		it := item{Entry: e, index: i, local: local, part: partPath(local)}
		if err := g.look(&it); err != nil {
			return err
		}
		g.items = append(g.items, it)
		held += it.held()
		g.count(it.held())
		if !it.whole {
			missing += e.Size - it.held()
		}
	}
	free := g.Free
	if free == nil {
		free = func() (uint64, error) { return freeSpace(g.Root) }
	}
	if room, err := free(); err == nil && uint64(missing) > room {
		stop := &StopError{Reason: Impossible, Text: fmt.Sprintf("there is room for %d MB, and %d MB are missing", room/1e6, (missing+999_999)/1e6)}
		if held > 0 {
			stop.Reason = Paused // the disk was filled since it began
		}
		return stop
	}
	return nil
}

// hash takes the hashes of the first n bytes of a file.
func (g *receiving) hash(it *item, local string, n int64) error {
	if n == 0 {
		return nil
	}
	g.Progress.stage(Verifying)
	f, err := g.Root.Open(local)
	if err != nil {
		return outside(it.Path, err)
	}
	defer f.Close()
	it.have = make([]sum, blocks(n))
	for i := range it.have {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		b := g.mill.buffer(int(min(Block, n-int64(i)*Block)))
		if _, err := f.ReadAt(b, int64(i)*Block); err != nil {
			g.mill.drop(b)
			return outside(it.Path, err)
		}
		g.mill.put(b, &it.have[i])
	}
	return g.mill.settle()
}
