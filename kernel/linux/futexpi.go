package linux

import (
	"slices"

	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Futexes with priority inheritance (futex(2); kernel/futex/pi.c): locks whose word
// holds the owner's tid, and which the kernel gives to the next who waits. Threads have no
// priorities here, so there is nothing to inherit: they get a lock in order of
// arrival.

const (
	futexLockPI        = 6
	futexUnlockPI      = 7
	futexTrylockPI     = 8
	futexWaitRequeuePI = 11
	futexCmpRequeuePI  = 12
	futexLockPI2       = 13
)

// piState is a lock that somebody waits for. Its waiters stand in the bucket of its key.
// Who changes it holds that bucket's lock and Kernel.piMu, who reads it one of them.
type piState struct {
	key   futexKey
	owner *Thread
	stale bool // the owner before died: the word is not yet the new one's
}

// piThread is a thread's part, guarded by Kernel.piMu.
type piThread struct {
	owned    []*piState
	waitsFor *piState
	dead     bool // it takes no more locks, and gives none back
}

// piWaiter is what a futexWaiter of such a lock has more than others, guarded by its
// bucket's lock.
type piWaiter struct {
	state   *piState
	granted bool     // it is the owner and has yet to write that into the word
	target  futexKey // of FUTEX_WAIT_REQUEUE_PI: the lock's; zero once it waits for that
}

// plain says whether w waits for an ordinary futex.
func (w *futexWaiter) plain() bool { return w.pi.state == nil && w.pi.target == futexKey{} }

// first returns who waits longest for key in b, or nil.
func (b *futexBucket) first(key futexKey) *futexWaiter {
	w := b.head
	for w != nil && w.key != key {
		w = w.next
	}
	return w
}

// setOwner makes t the owner of s.
func (k *Kernel) setOwner(s *piState, t *Thread) {
	k.piMu.Lock()
	k.disown(s)
	s.owner = t
	t.pi.owned = append(t.pi.owned, s)
	t.pi.waitsFor = nil
	k.piMu.Unlock()
}

// disown takes s from its owner; piMu is held.
func (k *Kernel) disown(s *piState) {
	if o := s.owner; o != nil {
		if i := slices.Index(o.pi.owned, s); i >= 0 {
			last := len(o.pi.owned) - 1
			o.pi.owned[i] = o.pi.owned[last]
			o.pi.owned = o.pi.owned[:last]
		}
	}
}

// leavePI takes w, which waits for a lock, out of its bucket, and drops the lock's state
// if it was the last; dropPI does that.
func (k *Kernel) leavePI(b *futexBucket, w *futexWaiter) {
	s := w.pi.state
	b.remove(w)
	k.piMu.Lock()
	w.thread.pi.waitsFor = nil
	k.piMu.Unlock()
	k.dropPI(b, s)
}

func (k *Kernel) dropPI(b *futexBucket, s *piState) {
	if s != nil && b.first(s.key) == nil {
		k.piMu.Lock()
		k.disown(s)
		k.piMu.Unlock()
	}
}

// joinPI makes w wait for s in b, unless its thread would wait for itself.
func (k *Kernel) joinPI(b *futexBucket, s *piState, w *futexWaiter) Errno {
	const longest = 1024 // max_lock_depth
	k.piMu.Lock()
	defer k.piMu.Unlock()
	for at, n := s, 0; at != nil && n < longest; at, n = at.owner.pi.waitsFor, n+1 {
		if at.owner == w.thread {
			return EDEADLK
		}
	}
	w.key, w.pi = s.key, piWaiter{state: s}
	w.thread.pi.waitsFor = s
	b.add(w)
	return 0
}

// takePI takes the lock at addr for who, if it is free, or finds out for what lock who
// has to wait (futex_lock_pi_atomic). The caller holds the lock of b, key's bucket.
// EFAULT and EAGAIN mean to bring the word in and to try again. With waiters the lock
// that is taken has a state, for others to wait for.
func (t *Thread) takePI(addr uintptr, key futexKey, b *futexBucket, who *Thread, waiters bool) (s *piState, taken bool, err Errno) {
	v, ok := metal.Load32(addr)
	if !ok {
		return nil, false, EFAULT
	}
	tid := v & futexTID
	if tid == uint32(who.tid) {
		return nil, false, EDEADLK
	}
	if w := b.first(key); w != nil {
		s := w.pi.state
		switch {
		case s == nil:
			return nil, false, EINVAL
		case s.stale, tid == uint32(s.owner.tid):
			return s, false, 0
		}
		return nil, false, EINVAL // somebody else wrote into the word
	}
	to := v | futexWaiters
	if tid == 0 {
		if to = v&futexOwnerDied | uint32(who.tid); waiters {
			to |= futexWaiters
		}
	}
	switch swapped, ok := metal.CompareAndSwap32(addr, v, to); {
	case !ok:
		return nil, false, EFAULT
	case !swapped:
		return nil, false, EAGAIN
	}
	owner := who
	if tid != 0 {
		owner = t.proc.kernel.thread(int(tid))
	} else if !waiters {
		return nil, true, 0
	}
	s = &piState{key: key, owner: owner}
	k := t.proc.kernel
	k.piMu.Lock()
	defer k.piMu.Unlock()
	if owner == nil || owner.pi.dead {
		if now, ok := metal.Load32(addr); ok && now != to {
			return nil, false, EAGAIN
		}
		return nil, false, ESRCH
	}
	owner.pi.owned = append(owner.pi.owned, s)
	return s, tid == 0, 0
}

// lockPI is FUTEX_LOCK_PI and its siblings.
func (t *Thread) lockPI(addr uintptr, private, try bool, deadline uint64) Errno {
	key, err := t.futexAt(addr, private)
	if err != 0 {
		return err
	}
	k, b := t.proc.kernel, key.bucket()
	for {
		b.mu.Lock()
		s, taken, err := t.takePI(addr, key, b, t, false)
		switch {
		case taken:
			b.mu.Unlock()
			return 0
		case err == 0 && try:
			k.dropPI(b, s)
			err = EAGAIN
			b.mu.Unlock()
			return err
		case err == 0:
			w := &t.futex
			w.thread = t
			if err = k.joinPI(b, s, w); err == 0 {
				b.mu.Unlock()
				err = t.awaitPI(w, addr, deadline)
				if err == eRestartSys {
					err = eRestartNoIntr
				}
				return err
			}
			k.dropPI(b, s)
		}
		b.mu.Unlock()
		if again := t.againPI(addr, err); again != 0 {
			return again
		}
	}
}

// againPI returns 0 if an attempt that ended in err is worth another one.
func (t *Thread) againPI(addr uintptr, err Errno) Errno {
	if err == EAGAIN || err == EFAULT && t.space.BringIn(addr, mm.ToWrite) {
		return 0
	}
	return err
}

// awaitPI waits until t owns the lock at addr for which w stands in a queue, or will
// after a requeue.
func (t *Thread) awaitPI(w *futexWaiter, addr uintptr, deadline uint64) Errno {
	k := t.proc.kernel
	for {
		err := t.pause(deadline)
		b := w.lock()
		switch {
		case b == nil:
			return 0 // it was given the lock
		case w.pi.granted:
			for err = EAGAIN; err != 0; {
				if err = t.inheritPI(addr); err != 0 {
					b.mu.Unlock()
					fatal := t.againPI(addr, err)
					b.mu.Lock()
					if fatal != 0 {
						break
					}
				}
			}
			w.pi.state.stale = false
			k.leavePI(b, w)
			b.mu.Unlock()
			return err
		case err != 0 && w.pi.state != nil:
			k.leavePI(b, w)
			b.mu.Unlock()
			return err
		case err != 0:
			b.remove(w)
			b.mu.Unlock()
			return err
		}
		b.mu.Unlock()
	}
}

// inheritPI writes into the word that t is the owner after one who died.
func (t *Thread) inheritPI(addr uintptr) Errno {
	v, ok := metal.Load32(addr)
	if !ok {
		return EFAULT
	}
	switch swapped, ok := metal.CompareAndSwap32(addr, v, futexOwnerDied|futexWaiters|uint32(t.tid)); {
	case !ok:
		return EFAULT
	case !swapped:
		return EAGAIN
	}
	return 0
}

// unlockPI is FUTEX_UNLOCK_PI.
func (t *Thread) unlockPI(addr uintptr, private bool) Errno {
	for {
		var v uint32
		if err := copyIn(t, &v, addr); err != 0 {
			return err
		}
		if v&futexTID != uint32(t.tid) {
			return EPERM
		}
		key, err := t.futexAt(addr, private)
		if err != 0 {
			return err
		}
		k, b := t.proc.kernel, key.bucket()
		b.mu.Lock()
		w, to := b.first(key), uint32(0)
		if w != nil {
			if s := w.pi.state; s == nil || s.owner != t {
				b.mu.Unlock()
				return EINVAL
			}
			to = futexWaiters | uint32(w.thread.tid)
		}
		swapped, ok := metal.CompareAndSwap32(addr, v, to)
		if swapped && w != nil {
			s := w.pi.state
			b.remove(w)
			k.setOwner(s, w.thread)
			k.dropPI(b, s)
			w.thread.wake()
		}
		b.mu.Unlock()
		switch {
		case swapped:
			return 0
		case !ok && !t.space.BringIn(addr, mm.ToWrite):
			return EFAULT
		}
	}
}

// waitRequeuePI is FUTEX_WAIT_REQUEUE_PI: it waits for the word at addr until it is
// requeued to the lock at addr2, and for that.
func (t *Thread) waitRequeuePI(addr, addr2 uintptr, private bool, val uint32, deadline uint64) Errno {
	if addr == addr2 {
		return EINVAL
	}
	target, err := t.futexAt(addr2, private)
	if err != 0 {
		return err
	}
	key, b, err := t.futexExpect(addr, private, val)
	if err != 0 {
		return err
	}
	if key == target {
		b.mu.Unlock()
		return EINVAL
	}
	w := &t.futex
	w.thread, w.key, w.bits, w.pi = t, key, futexMatchAny, piWaiter{target: target}
	b.add(w)
	b.mu.Unlock()
	err = t.awaitPI(w, addr2, deadline)
	switch {
	case err != eRestartSys:
	case w.pi.target != futexKey{}:
		err = eRestartNoIntr
	default:
		err = EAGAIN // it cannot be made to wait for the lock again
	}
	return err
}

// cmpRequeuePI is FUTEX_CMP_REQUEUE_PI: it gives the lock at addr2 to the first of those
// who wait for the word at addr, or lets it wait for that, and up to limit more.
func (t *Thread) cmpRequeuePI(addr, addr2 uintptr, private bool, n, limit int32, want uint32) (uintptr, Errno) {
	if n != 1 || limit < 0 || addr == addr2 {
		return 0, EINVAL
	}
	from, to, err := t.futexPair(addr, addr2, private)
	if err != 0 {
		return 0, err
	}
	if from == to {
		return 0, EINVAL
	}
	k, b, b2 := t.proc.kernel, from.bucket(), to.bucket()
	for {
		lockBuckets(b, b2)
		v, ok := metal.Load32(addr)
		if !ok {
			unlockBuckets(b, b2)
			if !t.space.BringIn(addr, mm.ToRead) {
				return 0, EFAULT
			}
			continue
		}
		if v != want {
			unlockBuckets(b, b2)
			return 0, EAGAIN
		}
		first := b.first(from)
		switch {
		case first == nil:
			unlockBuckets(b, b2)
			return 0, 0
		case first.pi.target != to:
			unlockBuckets(b, b2)
			return 0, EINVAL
		}
		s, taken, err := t.takePI(addr2, to, b2, first.thread, limit > 0)
		if err != 0 {
			unlockBuckets(b, b2)
			if err = t.againPI(addr2, err); err != 0 {
				return 0, err
			}
			continue
		}
		moved := uintptr(0)
		if taken {
			b.remove(first)
			first.thread.wake()
			moved++
		}
		for w := b.head; w != nil && moved < 1+uintptr(limit) && err == 0; {
			next := w.next
			if w.key == from {
				if w.pi.target != to {
					err = EINVAL
					break
				}
				b.remove(w)
				if err = k.joinPI(b2, s, w); err != 0 {
					b.add(w)
					break
				}
				moved++
			}
			w = next
		}
		k.dropPI(b2, s)
		unlockBuckets(b, b2)
		if err != 0 {
			return 0, err
		}
		return moved, 0
	}
}

// releasePI gives the locks that t owns and others wait for to the first of those, for
// t dies.
func (t *Thread) releasePI() {
	k := t.proc.kernel
	k.piMu.Lock()
	owned := t.pi.owned
	t.pi.owned, t.pi.dead = nil, true
	k.piMu.Unlock()
	for _, s := range owned {
		b := s.key.bucket()
		b.mu.Lock()
		if w := b.first(s.key); w != nil && w.pi.state == s && s.owner == t {
			s.stale, w.pi.granted = true, true
			k.setOwner(s, w.thread)
			w.thread.wake()
		}
		b.mu.Unlock()
	}
}

// futexWaitv is struct futex_waitv.
type futexWaitv struct {
	val, addr uint64
	flags, _  uint32
}

// sysFutexWaitv is futex_waitv(2): it waits for any of several words and returns which.
func sysFutexWaitv(t *Thread, a *Args) (uintptr, Errno) {
	const most, size32 = 128, 2
	n := uint32(a.Arg2())
	if uint32(a.Arg3()) != 0 || n == 0 || n > most || a.Arg1() == 0 {
		return 0, EINVAL
	}
	deadline := uint64(never)
	if p := a.Arg4(); p != 0 {
		clock := int32(a.Arg5())
		if clock != clockRealtime && clock != clockMonotonic {
			return 0, EINVAL
		}
		var err Errno
		if deadline, err = t.futexDeadline(p, false, clock == clockRealtime); err != 0 {
			return 0, err
		}
	}
	words := make([]struct {
		futexWaitv
		w futexWaiter
	}, n)
	for i := range words {
		e := &words[i]
		var raw [3]uint64
		if err := copyIn(t, &raw, a.Arg1()+uintptr(i)*24); err != 0 {
			return 0, err
		}
		e.val, e.addr, e.flags = raw[0], raw[1], uint32(raw[2])
		if raw[2]>>32 != 0 || e.flags&^futexPrivate != size32 {
			return 0, EINVAL
		}
	}
	for i := range words {
		if _, err := t.futexAt(uintptr(words[i].addr), words[i].flags&futexPrivate != 0); err != 0 {
			return 0, err
		}
	}
	// leave takes the first m out again and returns which of them was woken, -1 for none.
	leave := func(m int) int {
		woken := -1
		for i := range words[:m] {
			w := &words[i].w
			if b := w.lock(); b != nil {
				b.remove(w)
				b.mu.Unlock()
			} else {
				woken = i
			}
		}
		return woken
	}
	for i := range words {
		e := &words[i]
		key, b, err := t.futexExpect(uintptr(e.addr), e.flags&futexPrivate != 0, uint32(e.val))
		if err != 0 {
			if woken := leave(i); woken >= 0 {
				return uintptr(woken), 0
			}
			return 0, err
		}
		e.w.thread, e.w.key, e.w.bits = t, key, futexMatchAny
		b.add(&e.w)
		b.mu.Unlock()
	}
	for {
		for i := range words {
			if words[i].w.bucket.Load() == nil {
				return uintptr(leave(len(words))), 0
			}
		}
		if err := t.pause(deadline); err != 0 {
			if woken := leave(len(words)); woken >= 0 {
				return uintptr(woken), 0
			}
			return 0, err
		}
	}
}
