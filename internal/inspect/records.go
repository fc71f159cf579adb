package inspect

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"gosv/internal/console"
	"gosv/internal/diag"
	"gosv/internal/trace"
)

// records distributes what the kernel reports of the program: to who wanted it from the
// start, and to watchers, who come and go. It is an io.Writer for all of it.
type records struct {
	first io.Writer // may be nil

	mu       sync.Mutex
	plan     trace.Plan // of who wanted some from the start
	watchers map[*queue]*trace.Plan
	ended    bool
	buf      []byte // a record that is not complete
	bad      bool   // no more records can be told apart
}

// Write implements io.Writer.
func (r *records) Write(p []byte) (int, error) {
	if r.first != nil {
		if n, err := r.first.Write(p); err != nil {
			return n, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad {
		return len(p), nil
	}
	r.buf = append(r.buf, p...)
	at := 0
	for {
		size, n := binary.Uvarint(r.buf[at:])
		if n < 0 || n > 0 && size > trace.MaxRecord {
			r.bad, r.buf, at = true, nil, 0
			break
		}
		if n == 0 || uint64(len(r.buf)-at-n) < size {
			break
		}
		end := at + n + int(size)
		for q := range r.watchers {
			q.put(r.buf[at:end])
		}
		at = end
	}
	r.buf = append(r.buf[:0], r.buf[at:]...)
	return len(p), nil
}

// wanted is what all who watch want together.
func (r *records) wanted() *trace.Plan {
	all := trace.Plan{Calls: map[int]trace.CallPlan{}}
	all.Add(&r.plan)
	for _, p := range r.watchers {
		all.Add(p)
	}
	return &all
}

// end ends what all watchers get.
func (r *records) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for q := range r.watchers {
		q.end()
	}
}

// lostRecords is the record that says that n were lost.
func lostRecords(b []byte, n int) []byte {
	body := binary.AppendUvarint([]byte{diag.Lost}, uint64(n))
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// Records is where the kernel's records go to, which first gets all of, as plan says from
// the start. Both may be nil.
func (g *Guest) Records(plan *trace.Plan, first io.Writer) io.Writer {
	if plan != nil {
		g.records.plan = *plan
	}
	g.records.first = first
	return &g.records
}

// Watch writes to w what the kernel reports by plan, and by those of others, until ctx or
// the VM ends. When it begins it calls started, and flush after each piece.
func (g *Guest) Watch(ctx context.Context, plan *trace.Plan, w io.Writer, started, flush func()) error {
	r := &g.records
	q := newQueue(lostRecords)
	r.mu.Lock()
	r.watchers[q] = plan
	if r.ended {
		q.end()
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.watchers, q)
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		g.setPlan(ctx) // if it does not: it has ended
	}()
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.setPlan(asked); err != nil {
		return err
	}
	started()
	return q.copyTo(ctx, w, flush)
}

// setPlan tells the kernel what all who watch want.
func (g *Guest) setPlan(ctx context.Context) error {
	_, err := g.question(ctx, func() []byte {
		g.records.mu.Lock()
		defer g.records.mu.Unlock()
		plan := g.records.wanted().Encode()
		if plan == nil {
			plan = []byte{0}
		}
		return console.Report(plan)
	})
	return err
}
