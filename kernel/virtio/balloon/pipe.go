package balloon

import (
	"sync"

	"gosv/kernel/gotimer"
	"gosv/kernel/virtio"
)

// pipe is a queue with one request in it at a time.
type pipe struct {
	dev    *virtio.Device
	buf    virtio.Piece
	notify func()     // called when the device is done, instead of who waits being told
	done   chan error // the device is done, or failed

	mu      sync.Mutex
	q       *virtio.Queue
	busy    bool
	out, in []virtio.Buffer // of the request
}

const (
	patience = 10e9 // ns: the device has that long for a request

	errSlow virtio.Error = "it does not answer"
)

func (p *pipe) open(d *virtio.Device, i int) (err error) {
	p.dev, p.done = d, make(chan error, 1)
	if p.buf, err = d.Memory().Alloc(batch * 4); err != nil {
		return err
	}
	p.q, err = d.NewQueue(i, 64, p.used)
	return err
}

func (p *pipe) used() {
	p.mu.Lock()
	_, _, ok := p.q.Next()
	for more := ok; more; { // there is none, but asking arms the interrupt
		_, _, more = p.q.Next()
	}
	if ok {
		p.busy = false
	}
	p.mu.Unlock()
	if ok {
		if p.notify != nil {
			p.notify()
		} else {
			p.end(nil)
		}
	}
}

// end tells who waits.
func (p *pipe) end(err error) {
	select {
	case p.done <- err:
	default:
	}
}

func (p *pipe) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.busy
}

// add gives the device a request.
func (p *pipe) add(out, in []virtio.Buffer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out, p.in = out, in
	err := p.again()
	if err == nil {
		p.busy = true
		p.q.Kick()
	}
	return err
}

// again puts the request into the queue; p.mu is held.
func (p *pipe) again() error { return p.q.Add(p.out, p.in, p) }

// do gives the device a request and waits until it is done, and says whether it
// is. The caller does one at a time.
func (p *pipe) do(out, in []virtio.Buffer) bool {
	select {
	case <-p.done: // of a request that was given up
	default:
	}
	if p.add(out, in) != nil {
		return false
	}
	timer := gotimer.Start(patience, func() { p.end(errSlow) })
	err := <-p.done
	timer.Stop()
	if err == errSlow {
		p.dev.Fail(errSlow)
	}
	return err == nil
}

// tell tells the device the numbers of frames.
func (p *pipe) tell(frames []uintptr) bool {
	if len(frames) == 0 {
		return true
	}
	for i, f := range frames {
		n := uint32(f / pageSize)
		b := p.buf.Bytes[i*4:]
		b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	return p.do([]virtio.Buffer{p.buf.Buffer(0, 4*len(frames))}, nil)
}
