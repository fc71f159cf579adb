// Package requests is what drivers of disks have in common: a virtqueue of requests, and
// those that wait for room in it.
package requests

import (
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/virtio"
)

// Driver is what one kind of device has different from others. Its methods are called with the
// queue locked.
type Driver interface {
	// Encode makes r what the device is to do: it fills s.Memory, and appends the
	// buffers that the device reads to out, and those that it writes to in.
	Encode(s *Slot, r *block.Request, out, in []virtio.Buffer) (_, _ []virtio.Buffer)

	// Decode says what became of r, from what the device wrote, each byte of which it
	// reads once; or that the device is to get r again.
	Decode(s *Slot, r *block.Request) (err errno.Errno, again bool)
}

// Slot is what a request has besides its data while the device has it.
type Slot struct {
	Memory unsafe.Pointer // that the device can reach,
	Addr   uint64         // and where it is for it
	Tries  int            // how often the device has had the request before

	request *block.Request
	resets  int // that the device needed while it had the request
}

// Queue is a virtqueue of requests.
type Queue struct {
	*virtio.Queue
	dev    *virtio.Device
	driver Driver

	mu      sync.Mutex
	slots   []Slot
	spare   []*Slot
	waiting list            // for room
	out, in []virtio.Buffer // of the request that is being added
	failed  bool
	delay   delay
}

// New makes queue i of dev, of up to size entries. Slots have so many bytes of memory.
func New(dev *virtio.Device, i, size int, bytes uintptr, driver Driver) (*Queue, error) {
	q := &Queue{dev: dev, driver: driver, delay: newDelay()}
	var err error
	if q.Queue, err = dev.NewQueue(i, size, q.used); err != nil {
		return nil, err
	}
	n := q.Size()
	piece, err := dev.Memory().Alloc(n * int(bytes))
	if err != nil {
		return nil, err
	}
	q.slots, q.spare = make([]Slot, n), make([]*Slot, n)
	for i := range q.slots {
		s, at := &q.slots[i], uintptr(i)*bytes
		s.Memory, s.Addr = unsafe.Pointer(&piece.Bytes[at]), piece.Addr+uint64(at)
		q.spare[n-1-i] = s
	}
	dev.OnFail(q.fail)
	return q, nil
}

// Submit starts the requests in the list r, as block.Device does.
func (q *Queue) Submit(r *block.Request) {
	last := r
	for last.Next != nil {
		last = last.Next
	}
	var ended list
	q.mu.Lock()
	q.waiting.add(r, last)
	q.push(&ended)
	q.settle(!q.wait() && q.publish(), &ended)
}

// push gives the device the requests that it has room for, and puts those that cannot be into
// ended.
func (q *Queue) push(ended *list) {
	for q.waiting.head != nil {
		r := q.waiting.head
		next := r.Next
		if q.failed {
			ended.lose(r)
		} else if n := len(q.spare); n == 0 {
			return
		} else if err := q.give(q.spare[n-1], r); err == nil {
			q.spare = q.spare[:n-1]
		} else if err == virtio.ErrFull {
			return
		} else {
			ended.lose(r)
		}
		q.waiting.head = next
	}
}

// give puts r into the virtqueue, with s.
func (q *Queue) give(s *Slot, r *block.Request) error {
	q.out, q.in = q.driver.Encode(s, r, q.out[:0], q.in[:0])
	err := q.Add(q.out, q.in, s)
	if err == nil {
		s.request = r
	}
	return err
}

// used is called when the device has done something.
func (q *Queue) used() {
	var ended list
	q.mu.Lock()
	for {
		token, _, ok := q.Next()
		if !ok {
			break
		}
		s := token.(*Slot)
		r := s.request
		err, again := q.driver.Decode(s, r)
		if s.Tries++; again && q.give(s, r) == nil {
			continue
		}
		q.free(s)
		r.Err = err
		ended.add(r, r)
	}
	q.push(&ended)
	q.settle(q.publish(), &ended)
}

// settle unlocks q.mu, notifies the device if it has to be, and tells those whose requests
// have ended.
func (q *Queue) settle(notify bool, ended *list) {
	q.mu.Unlock()
	if notify {
		q.Notify()
	}
	ended.end()
}

func (q *Queue) free(s *Slot) {
	s.Tries, s.request, s.resets = 0, nil, 0
	q.spare = append(q.spare, s)
}

// Restart resets the device, and gives it again what it had: but for a request that it had
// for the second time when it needed a reset. others is called for what other queues had,
// if there are any.
func (q *Queue) Restart(others func(q *virtio.Queue, token any)) error {
	var ended list
	q.mu.Lock()
	err := q.dev.Reset(func(of *virtio.Queue, token any) {
		if of != q.Queue {
			others(of, token)
			return
		}
		s := token.(*Slot)
		r := s.request
		if s.resets++; s.resets > 1 || q.give(s, r) != nil {
			q.free(s)
			ended.lose(r)
		}
	})
	if err == nil {
		q.push(&ended)
	}
	q.settle(q.publish(), &ended)
	return err
}

// fail is called when the device has failed, so that nobody waits for ever.
func (q *Queue) fail(error) {
	var ended list
	q.mu.Lock()
	q.failed = true
	for i := range q.slots {
		if s := &q.slots[i]; s.request != nil {
			s.request.Lost = true
			ended.lose(s.request)
			s.request = nil
		}
	}
	q.push(&ended)
	q.settle(false, &ended)
}

// list is a list of requests.
type list struct{ head, tail *block.Request }

// add puts the requests from first to last at the end of l.
func (l *list) add(first, last *block.Request) {
	last.Next = nil
	if l.head == nil {
		l.head = first
	} else {
		l.tail.Next = first
	}
	l.tail = last
}

// lose adds a request that cannot be done.
func (l *list) lose(r *block.Request) {
	r.Err = errno.EIO
	l.add(r, r)
}

// end tells those who wait for the requests in l what became of them. They may use them
// again at once.
func (l *list) end() {
	for r := l.head; r != nil; {
		next := r.Next
		r.Next = nil
		r.Done.Completed(r.Err)
		r = next
	}
}
