package linux

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Futexes (futex(2)). Threads that wait for a word stand in the bucket that
// the word's space and address hash to, in order of arrival; a word in memory
// that is shared goes by its physical address, since it may be mapped twice. Looking at the word
// and queueing are one step under the bucket's lock, as are waking and taking
// out of the queue; the word is only looked at if its page is there, for the lock
// stands below the lock of an mm.Space.

const futexBuckets = 64

var futexes [futexBuckets]futexBucket

type futexBucket struct {
	mu   sync.Mutex
	head *futexWaiter
	tail *futexWaiter
	_    [40]byte // a cache line each
}

type futexKey struct {
	space *mm.Space // nil: addr is a physical one
	addr  uintptr
}

// futexWaiter is a thread's place in a bucket.
type futexWaiter struct {
	thread     *Thread
	key        futexKey
	bits       uint32
	bucket     atomic.Pointer[futexBucket] // nil once it was woken; changed under the bucket's lock
	next, prev *futexWaiter
	pi         piWaiter
}

// add puts w at the end of b.
func (b *futexBucket) add(w *futexWaiter) {
	w.prev, w.next = b.tail, nil
	if b.tail != nil {
		b.tail.next = w
	} else {
		b.head = w
	}
	b.tail = w
	w.bucket.Store(b)
}

// remove takes w out of b. From then on its thread may use it anew.
func (b *futexBucket) remove(w *futexWaiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		b.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		b.tail = w.prev
	}
	w.next, w.prev = nil, nil
	w.bucket.Store(nil)
}

func (k futexKey) bucket() *futexBucket {
	h := (uint64(k.addr) ^ uint64(uintptr(unsafe.Pointer(k.space)))>>6) * 0x9e3779b97f4a7c15
	return &futexes[h>>(64-6)]
}

const (
	futexWait       = 0
	futexWake       = 1
	futexRequeue    = 3
	futexCmpRequeue = 4
	futexWakeOp     = 5
	futexWaitBitset = 9
	futexWakeBitset = 10
	futexPrivate    = 128 // all wait for the word at the same address
	futexRealtime   = 256

	futexMatchAny   = 1<<32 - 1
	futexOpArgShift = 8 // in FUTEX_WAKE_OP: the argument is a bit's number

	// The word of a robust futex.
	futexWaiters   = 1 << 31
	futexOwnerDied = 1 << 30
	futexTID       = 1<<30 - 1

	robustListMax  = 2048 // ROBUST_LIST_LIMIT: entries to look at
	robustHeadSize = 24
	robustPI       = 1 // in an entry's address: the futex is a PI one
)

func sysFutex(t *Thread, a *Args) (uintptr, Errno) {
	addr, op, val := a.Arg1(), a.Int2(), uint32(a.Arg3())
	cmd := op &^ (futexPrivate | futexRealtime)
	private := op&futexPrivate != 0
	deadline := uint64(never)
	switch cmd {
	case futexWait, futexWaitBitset, futexLockPI, futexLockPI2, futexWaitRequeuePI:
		var err Errno
		if deadline, err = t.futexDeadline(a.Arg4(), cmd == futexWait, op&futexRealtime != 0 || cmd == futexLockPI); err != 0 {
			return 0, err
		}
	}
	if op&futexRealtime != 0 && cmd != futexWaitBitset && cmd != futexWaitRequeuePI && cmd != futexLockPI2 {
		return 0, ENOSYS // but a bad time is told first
	}
	switch cmd {
	case futexWait, futexWaitBitset:
		mask := uint32(futexMatchAny)
		if cmd == futexWaitBitset {
			mask = uint32(a.Arg6())
		}
		err := t.futexWait(addr, private, val, mask, deadline)
		if err == eRestartSys && deadline != never {
			err = t.restartAs(func() (uintptr, Errno) { return 0, t.futexWait(addr, private, val, mask, deadline) })
		}
		return 0, err
	case futexWake:
		return t.futexWake(addr, private, int32(val), futexMatchAny)
	case futexWakeBitset:
		return t.futexWake(addr, private, int32(val), uint32(a.Arg6()))
	case futexRequeue:
		return t.futexRequeue(addr, a.Arg5(), private, int32(val), int32(a.Arg4()), nil)
	case futexCmpRequeue:
		want := uint32(a.Arg6())
		return t.futexRequeue(addr, a.Arg5(), private, int32(val), int32(a.Arg4()), &want)
	case futexWakeOp:
		return t.futexWakeOp(addr, a.Arg5(), private, int32(val), int32(a.Arg4()), uint32(a.Arg6()))
	case futexLockPI, futexLockPI2:
		return 0, t.lockPI(addr, private, false, deadline)
	case futexTrylockPI:
		return 0, t.lockPI(addr, private, true, never)
	case futexUnlockPI:
		return 0, t.unlockPI(addr, private)
	case futexWaitRequeuePI:
		return 0, t.waitRequeuePI(addr, a.Arg5(), private, val, deadline)
	case futexCmpRequeuePI:
		return t.cmpRequeuePI(addr, a.Arg5(), private, int32(val), int32(a.Arg4()), uint32(a.Arg6()))
	}
	return 0, ENOSYS
}

// futexDeadline reads a timeout, never if there is none: relative, or a time of
// CLOCK_REALTIME or CLOCK_MONOTONIC.
func (t *Thread) futexDeadline(addr uintptr, relative, wall bool) (uint64, Errno) {
	if addr == 0 {
		return never, 0
	}
	var ts timespec
	if err := copyIn(t, &ts, addr); err != 0 {
		return 0, err
	}
	switch {
	case !ts.valid():
		return 0, EINVAL
	case relative:
		return after(ts), 0
	case wall:
		return wallDeadline(ts.ns()), 0
	}
	return ts.ns(), 0
}

// futexAt returns the key of the word at addr.
func (t *Thread) futexAt(addr uintptr, private bool) (futexKey, Errno) {
	if addr&3 != 0 {
		return futexKey{}, EINVAL
	}
	if !userRange(addr, 4) {
		return futexKey{}, EFAULT
	}
	if !private {
		frame, err := t.space.SharedAt(addr)
		if err != 0 {
			return futexKey{}, err
		}
		if frame != 0 {
			return futexKey{nil, frame}, 0
		}
	}
	return futexKey{t.space, addr}, 0
}

func (t *Thread) futexWait(addr uintptr, private bool, val, mask uint32, deadline uint64) Errno {
	if mask == 0 {
		return EINVAL
	}
	key, b, err := t.futexExpect(addr, private, val)
	if err != 0 {
		return err
	}
	w := &t.futex
	w.thread, w.key, w.bits, w.pi = t, key, mask, piWaiter{}
	b.add(w)
	b.mu.Unlock()
	for {
		err = t.pause(deadline)
		b := w.lock()
		if b == nil {
			return 0 // woken, perhaps at the last moment
		}
		if err != 0 {
			b.remove(w)
			b.mu.Unlock()
			return err
		}
		b.mu.Unlock()
	}
}

// futexExpect returns the key and the locked bucket of a word that is val: EAGAIN if it
// is not.
func (t *Thread) futexExpect(addr uintptr, private bool, val uint32) (futexKey, *futexBucket, Errno) {
	key, err := t.futexAt(addr, private)
	if err != 0 {
		return key, nil, err
	}
	b := key.bucket()
	for {
		b.mu.Lock()
		v, ok := metal.Load32(addr)
		if ok && v == val {
			return key, b, 0
		}
		b.mu.Unlock()
		if ok {
			return key, nil, EAGAIN
		}
		if !t.space.BringIn(addr, mm.ToRead) {
			return key, nil, EFAULT
		}
	}
}

// lock locks the bucket that w stands in, which a requeue may change, and
// returns it; nil if w was woken.
func (w *futexWaiter) lock() *futexBucket {
	for {
		b := w.bucket.Load()
		if b == nil {
			return nil
		}
		b.mu.Lock()
		if w.bucket.Load() == b {
			return b
		}
		b.mu.Unlock()
	}
}

func (t *Thread) futexWake(addr uintptr, private bool, n int32, mask uint32) (uintptr, Errno) {
	if mask == 0 {
		return 0, EINVAL
	}
	key, err := t.futexAt(addr, private)
	if err != 0 {
		return 0, err
	}
	b := key.bucket()
	b.mu.Lock()
	woken, err := b.wake(key, max(n, 1), mask)
	b.mu.Unlock()
	return woken, err
}

// wake wakes up to n of those in b that wait for key with one of the bits of mask. EINVAL
// if it meets one that waits for a lock.
func (b *futexBucket) wake(key futexKey, n int32, mask uint32) (woken uintptr, err Errno) {
	for w := b.head; w != nil && woken < uintptr(n); {
		next := w.next
		if w.key == key && !w.plain() {
			return woken, EINVAL
		}
		if w.key == key && w.bits&mask != 0 {
			t := w.thread
			b.remove(w)
			t.wake()
			woken++
		}
		w = next
	}
	return woken, 0
}

// futexPair is futexAt for both words of a call.
func (t *Thread) futexPair(addr, addr2 uintptr, private bool) (k, k2 futexKey, err Errno) {
	if k, err = t.futexAt(addr, private); err == 0 {
		k2, err = t.futexAt(addr2, private)
	}
	return k, k2, err
}

// futexRequeue wakes up to n of those who wait for the word at addr and lets up to
// limit others wait for the one at addr2 instead, if the first is still *want.
func (t *Thread) futexRequeue(addr, addr2 uintptr, private bool, n, limit int32, want *uint32) (uintptr, Errno) {
	if n < 0 || limit < 0 {
		return 0, EINVAL
	}
	from, to, err := t.futexPair(addr, addr2, private)
	if err != 0 {
		return 0, err
	}
	b, b2 := from.bucket(), to.bucket()
	for {
		lockBuckets(b, b2)
		if want == nil {
			break
		}
		v, ok := metal.Load32(addr)
		if ok && v == *want {
			break
		}
		unlockBuckets(b, b2)
		if ok {
			return 0, EAGAIN
		}
		if !t.space.BringIn(addr, mm.ToRead) {
			return 0, EFAULT
		}
	}
	done, err := b.wake(from, n, futexMatchAny)
	moved := uintptr(0)
	for w := b.head; w != nil && moved < uintptr(limit) && from != to && err == 0; {
		next := w.next
		switch {
		case w.key != from:
		case w.plain():
			b.remove(w)
			w.key = to
			b2.add(w)
			moved++
		default:
			err = EINVAL
		}
		w = next
	}
	unlockBuckets(b, b2)
	return done + moved, err
}

// futexWakeOp changes the word at addr2, wakes up to n of those who wait for the
// word at addr, and up to n2 of the other's if its old value compares as op says.
func (t *Thread) futexWakeOp(addr, addr2 uintptr, private bool, n, n2 int32, op uint32) (uintptr, Errno) {
	key, key2, err := t.futexPair(addr, addr2, private)
	if err != 0 {
		return 0, err
	}
	arg, cmpArg := int32(op<<8)>>20, int32(op<<20)>>20
	if op>>28&futexOpArgShift != 0 {
		arg = 1 << (uint32(arg) & 31)
	}
	const ops = 5
	if op>>28&7 >= ops {
		return 0, ENOSYS
	}
	b, b2 := key.bucket(), key2.bucket()
	var old uint32
	for {
		lockBuckets(b, b2)
		v, ok := metal.Load32(addr2)
		if ok {
			var change uint32
			switch op >> 28 & 7 {
			case 0: // SET
				change = uint32(arg)
			case 1: // ADD
				change = v + uint32(arg)
			case 2: // OR
				change = v | uint32(arg)
			case 3: // ANDN
				change = v &^ uint32(arg)
			case 4: // XOR
				change = v ^ uint32(arg)
			}
			swapped, there := metal.CompareAndSwap32(addr2, v, change)
			if swapped {
				old = v
				break
			}
			ok = there
		}
		unlockBuckets(b, b2)
		if !ok && !t.space.BringIn(addr2, mm.ToWrite) {
			return 0, EFAULT
		}
	}
	hit := false
	switch o := int32(old); op >> 24 & 15 {
	case 0:
		hit = o == cmpArg
	case 1:
		hit = o != cmpArg
	case 2:
		hit = o < cmpArg
	case 3:
		hit = o <= cmpArg
	case 4:
		hit = o > cmpArg
	case 5:
		hit = o >= cmpArg
	default:
		unlockBuckets(b, b2)
		return 0, ENOSYS
	}
	woken, err := b.wake(key, max(n, 1), futexMatchAny)
	if hit && err == 0 {
		var more uintptr
		more, err = b2.wake(key2, max(n2, 1), futexMatchAny)
		woken += more
	}
	unlockBuckets(b, b2)
	return woken, err
}

// lockBuckets locks two buckets that may be the same one.
func lockBuckets(a, b *futexBucket) {
	if uintptr(unsafe.Pointer(a)) > uintptr(unsafe.Pointer(b)) {
		a, b = b, a
	}
	a.mu.Lock()
	if a != b {
		b.mu.Lock()
	}
}

func unlockBuckets(a, b *futexBucket) {
	a.mu.Unlock()
	if a != b {
		b.mu.Unlock()
	}
}

// sysSetRobustList and sysGetRobustList keep the head of the list of futexes
// that the kernel shall mark when the thread dies (get_robust_list(2)).
func sysSetRobustList(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg2() != robustHeadSize {
		return 0, EINVAL
	}
	t.robust = a.Arg1()
	return 0, 0
}

func sysGetRobustList(t *Thread, a *Args) (uintptr, Errno) {
	of := t
	if tid := int(int32(a.Arg1())); tid != 0 {
		if of = t.proc.thread(tid); of == nil {
			return 0, ESRCH
		}
	}
	size := uintptr(robustHeadSize)
	if err := copyOut(t, a.Arg3(), &size); err != 0 {
		return 0, err
	}
	return 0, copyOut(t, a.Arg2(), &of.robust)
}

// releaseFutexes tells those who wait for t's death: by its robust futexes and
// by the word that CLONE_CHILD_CLEARTID named.
func (t *Thread) releaseFutexes() {
	t.walkRobust()
	t.releasePI()
	if t.clearTID != 0 {
		var zero uint32
		if copyOut(t, t.clearTID, &zero) == 0 {
			t.futexWake(t.clearTID, false, 1, futexMatchAny)
		}
	}
}

// walkRobust marks the futexes on t's robust list (exit_robust_list,
// kernel/futex/core.c). The list is the application's: it may be circular or
// lead nowhere.
func (t *Thread) walkRobust() {
	if t.robust == 0 {
		return
	}
	var head struct{ next, offset, pending uintptr }
	if copyIn(t, &head, t.robust) != 0 {
		return
	}
	entry := head.next
	for range robustListMax {
		if entry&^robustPI == t.robust {
			break
		}
		var next uintptr
		failed := copyIn(t, &next, entry&^robustPI) != 0
		if entry != head.pending {
			t.futexDied(entry&^robustPI+head.offset, entry&robustPI != 0, false)
		}
		if failed {
			return
		}
		entry = next
	}
	if head.pending != 0 {
		t.futexDied(head.pending&^robustPI+head.offset, head.pending&robustPI != 0, true)
	}
}

// futexDied marks a futex that t owns as owned by one who died and wakes the next, if it is
// no PI lock, which releasePI gives to him; pending is one that t was about to take or give back.
func (t *Thread) futexDied(addr uintptr, pi, pending bool) {
	if addr&3 != 0 || !userRange(addr, 4) {
		return
	}
	for {
		v, err := t.space.Load32(addr)
		if err != 0 {
			return
		}
		if pending && !pi && v == 0 {
			t.futexWake(addr, false, 1, futexMatchAny)
			return
		}
		if v&futexTID != uint32(t.tid) {
			return
		}
		swapped, ok := metal.CompareAndSwap32(addr, v, v&futexWaiters|futexOwnerDied)
		if swapped {
			if v&futexWaiters != 0 && !pi {
				t.futexWake(addr, false, 1, futexMatchAny)
			}
			return
		}
		if !ok && !t.space.BringIn(addr, mm.ToWrite) {
			return
		}
	}
}
