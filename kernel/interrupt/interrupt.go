// Package interrupt hands device interrupts to ordinary Go. A handler runs on
// a goroutine: that of an application thread the interrupt took out of ring 3,
// or one of its own that sleeps in the runtime's netpoller, like a reader of a
// socket. So interrupts need no thread, and no lock beneath the runtime.
//
// All lines are programmed to trigger by edge, also those of devices that mean a
// level: a level would interrupt again and again until the handler's goroutine
// comes to run. So a handler must not return before it saw its device's line
// inactive once.
package interrupt

import (
	"errors"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"
	_ "unsafe" // go:linkname

	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/platform"
)

// A Handler is called after its device has interrupted, and says whether the
// device had news. Calls of handlers never overlap, and may not block.
type Handler = func() bool

// source is what a vector stands for.
type source struct {
	handle Handler
	mask   func() // keeps the device from interrupting; nil if nothing can

	quiet  uint32 // interrupts without news, each soon after the one before
	last   uint64 // time of the last of them
	masked bool
}

var (
	mu      sync.Mutex
	sources [metal.NumIRQs]source
	inUse   int
	lines   []*line

	ioapics = []platform.IOAPIC{{Addr: 0xfec00000, Pins: 24}} // until Use
	report  = func(string) {}
	strays  bool // reported
	polling bool // poll is there

	deadlines  atomic.Bool // onDeadline is set
	onDeadline func() bool
)

// line is an I/O APIC's pin and the handlers of the devices that share it.
type line struct {
	gsi     uint32
	sharers []Handler
}

// Use makes these the machine's I/O APICs, and what to do with messages about
// devices that interrupt as nobody expects.
func Use(a []platform.IOAPIC, message func(string)) {
	mu.Lock()
	defer mu.Unlock()
	ioapics, report = a, message
}

// Line has f called for interrupts of a line, along with the handlers that
// are there. A line that is shared is asked again until no device has news:
// a device that asserts it while another does makes no edge.
func Line(at platform.Line, f Handler) error {
	mu.Lock()
	defer mu.Unlock()
	for _, l := range lines {
		if l.gsi == at.GSI {
			l.sharers = append(l.sharers, f)
			return nil
		}
	}
	for i := range ioapics {
		a := &ioapics[i]
		pin := at.GSI - a.Base
		if at.GSI < a.Base || pin >= a.Pins {
			continue
		}
		l := &line{gsi: at.GSI, sharers: []Handler{f}}
		base := uintptr(a.Addr)
		n, err := add(l.handle, func() { metal.MaskIRQ(base, pin) })
		if err != nil {
			return err
		}
		lines = append(lines, l)
		metal.RouteIRQ(base, pin, uint32(n), at.Low)
		return nil
	}
	return errors.New("no I/O APIC has GSI " + strconv.FormatUint(uint64(at.GSI), 10))
}

// Message returns what a device is to write where (MSI, MSI-X) to have f called.
// mask keeps it from doing so; it may be nil.
func Message(f Handler, mask func()) (addr uint64, data uint32, err error) {
	mu.Lock()
	defer mu.Unlock()
	n, err := add(f, mask)
	if err != nil {
		return 0, 0, err
	}
	addr, data = metal.MSI(uint32(n))
	return addr, data, nil
}

// OnDeadline has f called when metal.Deadline is past, unless a thread that came back from ring
// 3 has done so. f is always the same, and says whether it did anything.
func OnDeadline(f func() bool) {
	if !deadlines.Load() {
		mu.Lock()
		onDeadline = f
		deadlines.Store(true)
		startPolling()
		mu.Unlock()
	}
}

// startPolling starts poll, if it was not yet.
func startPolling() {
	if !polling {
		polling = true
		go poll()
	}
}

// add gives a vector to a handler.
func add(f Handler, mask func()) (n int, err error) {
	if inUse == len(sources) {
		return 0, errors.New("no interrupt vector is left")
	}
	if inUse == 0 {
		metal.OpenIRQs()
		startPolling()
	}
	n = inUse
	sources[n] = source{handle: f, mask: mask}
	inUse++
	return n, nil
}

// passes bounds how often the sharers of a line are asked: who then still has
// news gets another interrupt, or is looked after by somebody else.
const passes = 100

func (l *line) handle() (news bool) {
	if len(l.sharers) == 1 {
		return l.sharers[0]()
	}
	for again, n := true, 0; again && n < passes; n++ {
		again = false
		for _, f := range l.sharers {
			if f() {
				again, news = true, true
			}
		}
	}
	return news
}

// Dispatch calls the handlers of interrupts that came in. A thread that comes
// back from EnterUser calls it when metal.HasIRQ says so.
func Dispatch() {
	mu.Lock()
	for p := metal.PendingIRQs(); p != 0; p &= p - 1 {
		n := bits.TrailingZeros64(p)
		if n >= inUse {
			stray()
			continue
		}
		s := &sources[n]
		if s.handle() {
			s.quiet = 0
		} else {
			s.nobody(metal.Now())
		}
	}
	mu.Unlock()
}

// stray reports an interrupt that nobody asked for.
func stray() {
	if !strays {
		strays = true
		go report("an interrupt that no device was given: ignored, as others will be without a word")
	}
}

// A storm is that many interrupts without news, none of them longer after the
// one before than a pause: as in Linux (kernel/irq/spurious.c).
const (
	storm = 100_000
	pause = 100_000_000 // ns
)

// nobody counts an interrupt that brought no news: one that rages is masked, and
// its device asked at intervals instead.
func (s *source) nobody(now uint64) {
	if now-s.last > pause {
		s.quiet = 0
	}
	s.last = now
	if s.quiet++; s.quiet < storm || s.masked || s.mask == nil {
		return
	}
	s.masked = true
	s.mask()
	go report("a device interrupts on and on and has no news: its interrupt is masked, it is asked ten times a second instead")
	go func() {
		for {
			gotimer.Sleep(pause)
			mu.Lock()
			s.handle()
			mu.Unlock()
		}
	}()
}

// poll dispatches what comes in while no thread is in ring 3.
func poll() {
	const read = 'r'
	pollServerInit()
	fd := metal.IRQEventFD()
	pd, errno := pollOpen(fd)
	if errno != 0 {
		panic("interrupt: the runtime's poller refused the event descriptor")
	}
	for {
		pollReset(pd, read)
		Dispatch()
		if deadlines.Load() {
			onDeadline()
		}
		pollWait(pd, read)
		metal.ReadEvent(fd)
	}
}

// The runtime's poller, by the names that it offers to internal/poll.

//go:linkname pollServerInit internal/poll.runtime_pollServerInit
func pollServerInit()

//go:linkname pollOpen internal/poll.runtime_pollOpen
func pollOpen(fd uintptr) (pd uintptr, errno int)

//go:linkname pollReset internal/poll.runtime_pollReset
func pollReset(pd uintptr, mode int) int

//go:linkname pollWait internal/poll.runtime_pollWait
func pollWait(pd uintptr, mode int) int
