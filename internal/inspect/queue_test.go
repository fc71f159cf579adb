package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"

	"gosv/internal/strace"
	"gosv/internal/trace"
)

// Who takes nothing loses what there is no room for, and is told.
func TestQueueFull(t *testing.T) {
	q := newQueue(func(b []byte, n int) []byte { return append(b, byte(n)) })
	half := make([]byte, queueRoom/2)
	for range 5 {
		q.put(half)
	}
	b, err := q.take(t.Context())
	if len(b) != queueRoom || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	q.put([]byte("a"), []byte("b"))
	if b, err := q.take(t.Context()); string(b) != "\x03ab" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	q.end()
	if _, err := q.take(t.Context()); err != io.EOF {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newQueue(nil).take(ctx); err != context.Canceled {
		t.Error(err)
	}
}

// reporter is the input of a guest that takes plans, and says which.
type reporter struct {
	to    *Guest
	plans chan []byte
}

func (r *reporter) Write(p []byte) (int, error) {
	go func() {
		r.plans <- p[4:]
		r.to.Write([]byte{0, 0, 0})
	}()
	return len(p), nil
}

// Watchers get whole records from where they began, and the guest is told what all of
// them want together, and that nobody does.
func TestWatch(t *testing.T) {
	r := &reporter{plans: make(chan []byte)}
	g := NewGuest(r)
	r.to = g
	var first bytes.Buffer
	base, err := strace.Select("read")
	if err != nil {
		t.Fatal(err)
	}
	w := g.Records(&trace.Plan{Calls: base}, &first)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serve(l, g)
	c := NewClient(func(context.Context) (net.Conn, error) { return net.Dial("unix", path) })
	const record1, record2 = "\x02g1", "\x03g23"
	io.WriteString(w, record1+record2[:1])
	for _, calls := range []string{"write", "read"} {
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		done := make(chan error)
		begun := make(chan struct{})
		go func() { done <- c.Records(ctx, calls, in, func() { close(begun) }) }()
		want, _ := strace.Select("read," + calls)
		if plan := <-r.plans; !bytes.Equal(plan, (&trace.Plan{Calls: want}).Encode()) {
			t.Errorf("% x is no plan of %s", plan, calls)
		}
		<-begun
		io.WriteString(w, record2[1:]+record1)
		got := make([]byte, len(record1)+len(record2))
		if _, err := io.ReadFull(out, got); err != nil || string(got) != record2+record1 {
			t.Errorf("%q, %v", got, err)
		}
		cancel()
		if plan := <-r.plans; !bytes.Equal(plan, (&trace.Plan{Calls: base}).Encode()) {
			t.Errorf("% x is no plan as there was", plan)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		io.WriteString(w, record2[:1])
	}
	go func() { <-r.plans }()
	done := make(chan error)
	go func() { done <- c.Records(t.Context(), "write", io.Discard, g.End) }()
	if err := <-done; err != nil { // the VM's end
		t.Error(err)
	}
	if err := c.Records(t.Context(), "write", io.Discard, func() {}); err == nil || err.Error() != ErrEnded.Error() {
		t.Error(err)
	}
	if want := record1 + record2 + record1 + record2 + record1 + record2[:1]; first.String() != want {
		t.Errorf("%q, not %q", &first, want)
	}
	w.Write(binary.AppendUvarint(nil, 1<<40)) // no record at all
}
