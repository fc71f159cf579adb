// Package rng drives the entropy device (virtio 1.2 section 5.4): one queue of
// buffers, which the device fills with random bytes.
package rng

import (
	"sync"

	"gosv/kernel/virtio"
)

// Source is an entropy device. It is started when it is first read.
type Source struct {
	dev   *virtio.Device
	ready func()

	mu    sync.Mutex
	err   error
	q     *virtio.Queue
	buf   virtio.Piece
	have  []byte // what is left of buf
	asked bool   // the device has buf
}

// bufferSize is how much the device is asked for at once, bytes. Hosts give
// away what they have of good randomness sparingly.
const bufferSize = 256

// New returns the source that d is. ready is called when bytes have come for a
// Read that got none, or when none will ever; it must not block.
func New(d *virtio.Device, ready func()) *Source { return &Source{dev: d, ready: ready} }

// Read takes random bytes, as many as are there, and is the last to know them.
// If there are none it asks the device for some. An error stays.
func (s *Source) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.q == nil && s.err == nil {
		if s.err = s.start(); s.err != nil {
			s.dev.Refuse(s.err)
		}
	}
	if len(s.have) > 0 {
		n = copy(p, s.have)
		clear(s.have[:n])
		s.have = s.have[n:]
		return n, nil
	}
	if s.err == nil && !s.asked {
		s.ask()
	}
	return 0, s.err
}

func (s *Source) ask() {
	s.asked = true
	s.err = s.q.Add(nil, []virtio.Buffer{s.buf.Buffer(0, bufferSize)}, nil)
	s.q.Kick()
}

// restart resets the device.
func (s *Source) restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dev.Reset(func(*virtio.Queue, any) { s.ask() })
}

func (s *Source) start() error {
	if _, err := s.dev.Negotiate(0); err != nil {
		return err
	}
	q, err := s.dev.NewQueue(0, 8, s.used)
	if err != nil {
		return err
	}
	if s.buf, err = s.dev.Memory().Alloc(bufferSize); err != nil {
		return err
	}
	s.dev.OnFail(s.fail)
	s.dev.OnReset(s.restart)
	s.q = q
	return s.dev.Start()
}

// used takes what the device has given.
func (s *Source) used() {
	s.mu.Lock()
	for {
		_, n, ok := s.q.Next()
		if !ok {
			break
		}
		s.asked = false
		s.have = s.buf.Bytes[:n]
	}
	s.mu.Unlock()
	s.ready()
}

func (s *Source) fail(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.ready()
}
