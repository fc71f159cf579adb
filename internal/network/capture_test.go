package network

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// frameLog keeps frames.
type frameLog struct {
	mu     sync.Mutex
	frames [][]byte
}

func (l *frameLog) capture(at time.Time, size int, parts ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := slices.Concat(parts...)
	if len(f) != size {
		f = nil // none is taken for it
	}
	l.frames = append(l.frames, f)
}

// has says whether some frame from one address to another has these bytes.
func (l *frameLog) has(from, to, data []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.frames, func(f []byte) bool {
		const ethernet, addresses = 14, 12
		return len(f) > ethernet+20 && f[12] == 8 && f[13] == 0 && bytes.Equal(f[ethernet+addresses:][:8], slices.Concat(from, to)) && bytes.Contains(f, data)
	})
}

// Frames of both directions are captured, while somebody wants them.
func TestCapture(t *testing.T) {
	f := Forward{"tcp", freePort(t, "tcp"), 80}
	u, _ := connect(t, "late-echo", f)
	exchange := func(text string) {
		c, err := net.Dial("tcp", f.Host.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	exchange("nobody captures")
	var one, two frameLog
	i := Interfaces{User: u}
	stopOne, err := i.Capture(one.capture)
	if err != nil {
		t.Fatal(err)
	}
	stopTwo, _ := i.Capture(two.capture)
	exchange("both do")
	stopOne()
	exchange("one does")
	stopTwo()
	exchange("none does")
	guest, gateway := Guest.Addr().AsSlice(), Gateway.AsSlice()
	for _, c := range []struct {
		text     string
		one, two bool
	}{{"nobody captures", false, false}, {"both do", true, true}, {"one does", false, true}, {"none does", false, false}} {
		for _, dir := range [][2][]byte{{guest, gateway}, {gateway, guest}} {
			if a, b := one.has(dir[0], dir[1], []byte(c.text)), two.has(dir[0], dir[1], []byte(c.text)); a != c.one || b != c.two {
				t.Errorf("%q from %v: captured %t, %t", c.text, dir[0], a, b)
			}
		}
	}
}

// An interface of the host's is captured at.
func TestCaptureTAP(t *testing.T) {
	var log frameLog
	i := Interfaces{TAPs: []string{"lo"}}
	stop, err := i.Capture(log.capture)
	if errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	text, lo := []byte("a packet of "+t.TempDir()), []byte{127, 0, 0, 1}
	for end := time.Now().Add(10 * time.Second); !log.has(lo, lo, text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not captured")
		}
		p.WriteTo(text, p.LocalAddr())
	}
	stop()
	if _, err := (&Interfaces{TAPs: []string{"no-such-tap"}}).Capture(log.capture); err == nil {
		t.Error("an interface that is not there")
	}
	if _, err := (&Interfaces{}).Capture(log.capture); err != ErrNone {
		t.Error(err)
	}
}
