package rng

import (
	"bytes"
	"testing"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

func TestSource(t *testing.T) {
	next := byte(0)
	m := virtiotest.New(virtio.TypeEntropy, 0, nil, virtiotest.Queue{Size: 8, Handle: func(c *virtiotest.Chain) {
		next++
		c.Write(bytes.Repeat([]byte{next}, 10)) // fewer than there is room for
		c.Done()
	}})
	ready := make(chan bool, 1)
	s := New(m.Device(), func() { ready <- true })
	if m.Status() != 0 {
		t.Error("the device is started before anybody needs it")
	}
	read := func(n int) []byte {
		p := make([]byte, n)
		for {
			k, err := s.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			if k > 0 {
				return p[:k]
			}
			<-ready
		}
	}
	for i, want := range []string{"\x01\x01\x01", "\x01\x01\x01\x01\x01\x01\x01", "\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02"} {
		if got := read([]int{3, 100, 100}[i]); string(got) != want {
			t.Errorf("read %d: %q, want %q", i, got, want)
		}
	}
	for _, b := range s.buf.Bytes[:10] {
		if b != 0 {
			t.Error("what was given out is still there")
		}
	}
}

// A device that gives nothing is asked again, one that fails is an error.
func TestBadSource(t *testing.T) {
	for _, lie := range virtiotest.Lies {
		badSource(t, lie)
	}
}

func badSource(t *testing.T, tell func(c *virtiotest.Chain)) {
	lie := false
	m := virtiotest.New(virtio.TypeEntropy, 0, nil, virtiotest.Queue{Size: 8, Handle: func(c *virtiotest.Chain) {
		if lie {
			tell(c)
		} else {
			c.Done()
		}
	}})
	ready := make(chan bool, 1)
	s := New(m.Device(), func() {
		select {
		case ready <- true:
		default:
		}
	})
	var p [8]byte
	for range 3 {
		if n, err := s.Read(p[:]); n != 0 || err != nil {
			t.Fatalf("Read: %d, %v", n, err)
		}
		<-ready
	}
	lie = true
	for {
		n, err := s.Read(p[:])
		if err != nil {
			t.Log(err)
			return
		}
		if n != 0 {
			t.Fatalf("Read: %d bytes", n)
		}
		<-ready
	}
}

// A device that needs a reset while it is asked for bytes is asked again.
func TestReset(t *testing.T) {
	var m *virtiotest.Device
	asked := 0
	m = virtiotest.New(virtio.TypeEntropy, 0, nil, virtiotest.Queue{Size: 8, Handle: func(c *virtiotest.Chain) {
		if asked++; asked%2 == 1 {
			m.NeedReset()
			return
		}
		c.Write([]byte{byte(asked)})
		c.Done()
	}})
	ready := make(chan bool, 1)
	s := New(m.Device(), func() { ready <- true })
	for i := byte(2); i < 20; i += 2 {
		var p [8]byte
		n, err := s.Read(p[:])
		if n != 0 || err != nil {
			t.Fatal(n, err)
		}
		<-ready
		if n, err = s.Read(p[:]); n != 1 || err != nil || p[0] != i {
			t.Fatal(n, err, p[0], i)
		}
	}
}
