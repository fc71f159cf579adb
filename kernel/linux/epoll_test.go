package linux

import (
	"testing"

	"gosv/kernel/wait"
)

// pollObject is always readable, and calls hook when asked.
type pollObject struct {
	noObject
	hook  func()
	queue wait.Queue
}

func (o *pollObject) poll(*File) (uint32, *wait.Queue) {
	if o.hook != nil {
		o.hook()
	}
	return pollIn, &o.queue
}

func (o *pollObject) name() string { return "" }

// watching returns an instance that watches n files with the given flags; the
// data of an event is the file's number.
func watching(n int, flags uint32) (*epoll, []*pollObject) {
	e := &epoll{items: map[epollKey]*epollItem{}}
	var objects []*pollObject
	for i := range n {
		o := &pollObject{}
		objects = append(objects, o)
		ev := epollEvent{events: pollIn | flags}
		ev.data[0] = byte(i)
		e.add(epollKey{int32(i), newFile(o, 0)}, &ev)
	}
	return e, objects
}

// collected returns the numbers of the files that a wait for up to n events reports.
func collected(e *epoll, n int) string {
	out := make([]epollEvent, n)
	s := ""
	for _, ev := range out[:e.collect(out)] {
		s += string('0' + rune(ev.data[0]))
	}
	return s
}

func TestEpollTurns(t *testing.T) {
	for _, c := range []struct {
		flags uint32
		want  [4]string
	}{
		{0, [4]string{"01", "20", "12", "012"}}, // every file has its turn
		{epollEdge, [4]string{"01", "2", "", ""}},
		{epollOneshot, [4]string{"01", "2", "", ""}},
	} {
		e, _ := watching(3, c.flags)
		for i, n := range []int{2, 2, 2, 5} {
			if got := collected(e, n); got != c.want[i] {
				t.Errorf("flags %#x: wait %d reports %q, want %q", c.flags, i, got, c.want[i])
			}
		}
	}
}

// TestEpollRemoved: a registration that ends while it is ready is not reported.
func TestEpollRemoved(t *testing.T) {
	e, objects := watching(3, 0)
	for _, item := range e.items {
		if item.key.file.io == objects[1] {
			e.remove(item)
		}
	}
	for range 2 {
		if got := collected(e, 5); got != "02" {
			t.Errorf("%q", got)
		}
	}
}

// TestEpollOthersWake: who waits while another collects what is ready is told when it
// goes on being so.
func TestEpollOthersWake(t *testing.T) {
	e, objects := watching(1, 0)
	woken := 0
	w := wait.Waiter{Notify: func(*wait.Waiter, uint32) bool { woken++; return true }}
	objects[0].hook = func() {
		objects[0].hook = nil
		if got := collected(e, 1); got == "" { // nothing to be had now
			e.queue.Add(&w)
		}
	}
	if got := collected(e, 1); got != "0" || woken == 0 {
		t.Errorf("%q, the other was woken %d times", got, woken)
	}
}
