package metal

// The few descriptors that the runtime's netpoller needs: an epoll set, the
// eventfd that breaks it, and one that device interrupts make readable. The
// netpoller asks for the first by level: it leaves it readable where it only
// looks, for the one who waits. A report less, and nobody would ever be broken
// off again.
type event struct {
	kind       uint32
	registered bool
	byEdge     bool // to be reported once
	edge       bool // became readable since it was last reported
	count      uint64
	data       uint64 // epoll_event.data
}

const (
	eventFree = iota
	eventFD
	eventEpoll
	eventIRQ

	firstFD = 3 // 0, 1 and 2 are the console
)

var (
	eventFDs   [8]event
	irqPending uint64 // atomic: device interrupts that came in
)

func newEvent(kind uint32) uintptr {
	for i := range eventFDs {
		if e := &eventFDs[i]; e.kind == eventFree {
			*e = event{kind: kind}
			return firstFD + uintptr(i)
		}
	}
	return errno(emfile)
}

// eventAt returns the object behind fd, or nil.
func eventAt(fd uintptr) *event {
	if i := fd - firstFD; i < uintptr(len(eventFDs)) && eventFDs[i].kind != eventFree {
		return &eventFDs[i]
	}
	return nil
}

func epollCtl(op, fd, ev uintptr) uintptr {
	const ctlDel, edgeTriggered = 2, 1 << 31
	e := eventAt(fd)
	if e == nil || e.kind == eventEpoll {
		return errno(eperm)
	}
	e.registered = op != ctlDel
	if e.registered {
		e.data = uint64(ld32(ev+4)) | uint64(ld32(ev+8))<<32
		e.byEdge = ld32(ev)&edgeTriggered != 0
		e.edge = e.count > 0
	}
	return 0
}

// epollReady reports at most one event to ev (struct epoll_event, packed) and
// returns how many.
func epollReady(ev uintptr) uintptr {
	const epollIn = 1
	for i := range eventFDs {
		e := &eventFDs[i]
		if e.registered && e.count > 0 && (e.edge || !e.byEdge) {
			e.edge = false
			st32(ev, epollIn)
			st32(ev+4, uint32(e.data))
			st32(ev+8, uint32(e.data>>32))
			return 1
		}
	}
	return 0
}

// signalEvent makes e readable and wakes a thread that polls; woken says whether
// there was one.
func signalEvent(c *CPU, e *event, n uint64) (woken bool) {
	e.count += n
	e.edge = true
	for i := uintptr(0); i < nthreads; i++ {
		if t := threadAt(i); t.state == inEpoll {
			if n := epollReady(t.events); n != 0 {
				wake(c, t, n)
				return true
			}
		}
	}
	return false
}

func readEvent(e *event, p uintptr) uintptr {
	if e.count == 0 {
		return errno(eagain)
	}
	st(p, uintptr(e.count))
	e.count = 0
	return 8
}
