package linux

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"gosv/kernel/mm"
)

// testThreads returns threads of one process, whose memory is the test's own:
// Go's heap lies in the lower half, as an application's.
func testThreads(n int) []*Thread {
	k := NewKernel()
	p := &Process{kernel: k, pid: 1, space: &mm.Space{}}
	k.procs = append(k.procs, p)
	list := make([]*Thread, n)
	for i := range list {
		list[i] = p.newThread(i + 1)
		list[i].startClock()
		p.link(list[i])
	}
	return list
}

func address(v *uint32) uintptr { return uintptr(unsafe.Pointer(v)) }

// waiters counts those who stand in the bucket of a word.
func (t *Thread) waiters(v *uint32) (n int) {
	key, _ := t.futexAt(address(v), true)
	b := key.bucket()
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := b.head; w != nil; w = w.next {
		if w.key == key {
			n++
		}
	}
	return n
}

func TestFutexErrors(t *testing.T) {
	th := testThreads(1)[0]
	word := new(uint32)
	*word = 5
	for name, err := range map[string]struct{ got, want Errno }{
		"another value": {th.futexWait(address(word), true, 4, futexMatchAny, never), EAGAIN},
		"unaligned":     {th.futexWait(address(word)+1, true, 5, futexMatchAny, never), EINVAL},
		"no bits":       {th.futexWait(address(word), true, 5, 0, never), EINVAL},
		"kernel":        {th.futexWait(1<<63, true, 5, futexMatchAny, never), EFAULT},
		"time is up":    {th.futexWait(address(word), true, 5, futexMatchAny, 1), ETIMEDOUT},
	} {
		if err.got != err.want {
			t.Errorf("%s: %v, want %v", name, err.got, err.want)
		}
	}
	if n := th.waiters(word); n != 0 {
		t.Errorf("%d are left waiting", n)
	}
}

func TestFutexWakeAndRequeue(t *testing.T) {
	const n = 8
	threads := testThreads(n + 1)
	boss := threads[n]
	a, b := new(uint32), new(uint32)
	var done sync.WaitGroup
	for _, th := range threads[:n] {
		done.Go(func() {
			if err := th.futexWait(address(a), true, 0, 1<<(th.tid%2), never); err != 0 {
				t.Error(err)
			}
		})
	}
	for boss.waiters(a) != n {
		time.Sleep(time.Millisecond)
	}
	if woken, _ := boss.futexWake(address(a), true, n, 2); woken != n/2 {
		t.Errorf("woke %d by a bit, want %d", woken, n/2)
	}
	wrong := uint32(1)
	if _, err := boss.futexRequeue(address(a), address(b), true, 1, n, &wrong); err != EAGAIN {
		t.Error("requeue by another value:", err)
	}
	if moved, err := boss.futexRequeue(address(a), address(b), true, 1, 2, a); err != 0 || moved != 3 {
		t.Errorf("requeue: %d, %v", moved, err)
	}
	if boss.waiters(a) != 1 || boss.waiters(b) != 2 {
		t.Errorf("%d and %d wait, want 1 and 2", boss.waiters(a), boss.waiters(b))
	}
	const addOneIfOldIsZero = 1<<28 | 0<<24 | 1<<12 | 0
	if woken, err := boss.futexWakeOp(address(a), address(b), true, 1, 9, addOneIfOldIsZero); err != 0 || woken != 3 || *b != 1 {
		t.Errorf("wake op: %d, %v, word %d", woken, err, *b)
	}
	done.Wait()
}

func TestFutexSignal(t *testing.T) {
	threads := testThreads(2)
	word := new(uint32)
	got := make(chan Errno)
	go func() { got <- threads[0].futexWait(address(word), true, 0, futexMatchAny, never) }()
	for threads[1].waiters(word) != 1 {
		time.Sleep(time.Millisecond)
	}
	threads[0].proc.sig.actions[SIGUSR1].handler = 0x1000
	info := killInfo(SIGUSR1, siUser, 1)
	threads[0].proc.signal(threads[0], &info)
	if err := <-got; err != eRestartSys {
		t.Error(err)
	}
	if n := threads[1].waiters(word); n != 0 {
		t.Errorf("%d are left waiting", n)
	}
}

func TestRobustList(t *testing.T) {
	th := testThreads(2)
	type node struct {
		next uintptr
		word uint32
	}
	head := new(struct{ next, offset, pending uintptr })
	nodes := make([]node, 3)
	head.offset = unsafe.Offsetof(nodes[0].word)
	head.next = uintptr(unsafe.Pointer(&nodes[0]))
	nodes[0].next = uintptr(unsafe.Pointer(&nodes[1]))
	nodes[1].next = uintptr(unsafe.Pointer(head))
	head.pending = uintptr(unsafe.Pointer(&nodes[2]))
	nodes[0].word = uint32(th[0].tid) | futexWaiters
	nodes[1].word = uint32(th[1].tid) // not its own
	nodes[2].word = uint32(th[0].tid)
	th[0].robust = uintptr(unsafe.Pointer(head))
	th[0].walkRobust()
	for i, want := range []uint32{futexWaiters | futexOwnerDied, uint32(th[1].tid), futexOwnerDied} {
		if nodes[i].word != want {
			t.Errorf("word %d is %#x, want %#x", i, nodes[i].word, want)
		}
	}
	nodes[1].next = uintptr(unsafe.Pointer(&nodes[0])) // a circle ends too
	th[0].walkRobust()
}
