package inspect

import (
	"context"
	"io"
	"sync"
)

// queue is what a watcher was sent and has not taken yet. Who sends never waits: what
// there is no room for is lost, and counted.
type queue struct {
	lostMark func(b []byte, n int) []byte // appends what tells the watcher that n were lost

	mu    sync.Mutex
	buf   []byte
	lost  int
	ended bool
	news  chan struct{} // there is something, or the end
}

// queueRoom bounds a queue, in bytes.
const queueRoom = 32 << 20

func newQueue(lostMark func(b []byte, n int) []byte) *queue {
	return &queue{lostMark: lostMark, news: make(chan struct{}, 1)}
}

// put adds one message, which consists of parts.
func (q *queue) put(parts ...[]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if len(q.buf)+size > queueRoom {
		q.lost++
		return
	}
	q.tellLost()
	for _, p := range parts {
		q.buf = append(q.buf, p...)
	}
	q.signal()
}

// end is what the watcher finds behind all that is there.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.tellLost()
	q.signal()
}

func (q *queue) tellLost() {
	if q.lost > 0 {
		q.buf = q.lostMark(q.buf, q.lost)
		q.lost = 0
	}
}

func (q *queue) signal() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take returns all that there is, when there is some; io.EOF at the end.
func (q *queue) take(ctx context.Context) ([]byte, error) {
	for {
		q.mu.Lock()
		b, ended := q.buf, q.ended
		q.buf = nil
		q.mu.Unlock()
		switch {
		case len(b) > 0:
			return b, nil
		case ended:
			return nil, io.EOF
		}
		select {
		case <-q.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// copyTo writes to w what comes until the end, or until ctx ends. After each piece it
// calls flush.
func (q *queue) copyTo(ctx context.Context, w io.Writer, flush func()) error {
	for {
		b, err := q.take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		flush()
	}
}
