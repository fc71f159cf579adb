package console

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"gosv/kernel/metal"
)

// slowPort takes a little at a time.
type slowPort struct {
	mu   sync.Mutex
	out  []byte
	busy bool
}

func (p *slowPort) Start(PortHandler) error { return nil }
func (p *slowPort) Write(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy = !p.busy; p.busy { // every other time
		portHandler{}.Writable()
		return 0
	}
	n := min(len(b), 5000)
	p.out = append(p.out, b[:n]...)
	return n
}
func (p *slowPort) Room() bool       { return true }
func (p *slowPort) Sent() bool       { return true }
func (p *slowPort) Read([]byte) int  { return 0 }
func (p *slowPort) Waiting() int     { return 0 }
func (p *slowPort) Size() (int, int) { return 0, 0 }
func (p *slowPort) written() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.out)
}

// TestWindow: the host never has more to take than it said.
func TestWindow(t *testing.T) {
	p := &slowPort{}
	hvc.port, hvc.framed, hvc.stream, hvc.room = p, true, metal.Stdout, make(chan struct{}, 1)
	want := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	done := make(chan bool)
	go func() {
		putPort(want)
		close(done)
	}()
	for allowed := window; ; allowed += part {
		for p.written() < min(allowed, len(want)) {
			time.Sleep(time.Millisecond)
		}
		if n := p.written(); n > allowed {
			t.Fatalf("%d bytes come where %d may", n, allowed)
		}
		if allowed >= len(want) {
			break
		}
		d := decoder{to: &log{}, framed: true}
		d.decode([]byte("\x10a"))
	}
	<-done
	if !bytes.Equal(p.out, want) {
		t.Error("something else comes")
	}
}
