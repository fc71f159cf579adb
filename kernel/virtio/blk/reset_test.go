package blk

import (
	"bytes"
	"math/rand"
	"sync"
	"testing"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// TestReset: a device that needs a reset gets it, and nobody who reads or writes notices.
func TestReset(t *testing.T) {
	for _, old := range []bool{false, true} {
		m := newModel(t, featureSegMax|virtio.FeatureEventIndex|virtio.FeatureIndirect, old, 1<<20)
		count := 0
		m.odd = func(c *virtiotest.Chain) bool {
			count++
			if forgets := count%50 == 0; forgets {
				m.NeedReset()
				return true
			}
			return false
		}
		d, _ := m.start(t)
		want := bytes.Clone(m.data)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				r, s := rand.New(rand.NewSource(int64(w))), block.NewSleeper()
				lo, part := int64(w)*(256<<10), 256<<10/4096
				for range 100 {
					off := lo + int64(r.Intn(part))*4096
					if r.Intn(2) == 0 {
						r.Read(want[off:][:4096])
						if n, err := d.Whole().WriteAt(s, &fs.Buffer{Bytes: bytes.Clone(want[off:][:4096])}, off, 4096, true); n != 4096 || err != 0 {
							t.Error("write", n, err)
						}
						continue
					}
					b := &fs.Buffer{Bytes: make([]byte, 0, 4096)}
					if n, err := d.Whole().ReadAt(s, nil, b, off, 4096, true); n != 4096 || err != 0 || !bytes.Equal(b.Bytes, want[off:][:4096]) {
						t.Error("read", n, err)
					}
				}
			})
		}
		wg.Wait()
		if !bytes.Equal(m.data, want) {
			t.Error("the disk differs")
		}
	}
}

// TestPoison: a request that makes the device need a reset each time fails, and others do not.
func TestPoison(t *testing.T) {
	m := newModel(t, 0, false, 1<<20)
	m.odd = func(c *virtiotest.Chain) bool {
		if c.Out[0][8] == 8 { // the sector
			m.NeedReset()
			return true
		}
		return false
	}
	d, _ := m.start(t)
	s := block.NewSleeper()
	read := func(off int64) errno.Errno {
		_, err := d.Whole().ReadAt(s, nil, &fs.Buffer{Bytes: make([]byte, 0, 4096)}, off, 4096, true)
		return err
	}
	for range 3 {
		if err := read(8 * 512); err != errno.EIO {
			t.Error(err)
		}
		if err := read(16 * 512); err != 0 {
			t.Error(err)
		}
	}
	// At some time it is enough.
	for i := 0; read(16*512) == 0; i++ {
		read(8 * 512)
		if i > 100 {
			t.Fatal("it may need as many resets as it likes")
		}
	}
}
