// Package balloon drives the memory balloon (virtio 1.2 section 5.5): the host
// asks for memory, which the driver takes from the machine and gives it, and
// later may take back.
package balloon

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/gotimer"
	"gosv/kernel/virtio"
)

// Features (section 5.5.3).
const (
	featureStats        = 1 << 1
	featureDeflateOnOOM = 1 << 2
	featureHints        = 1 << 3 // has a queue; only of use to who migrates
	featureReporting    = 1 << 5
)

// Fields of the configuration.
const (
	configTarget = 0 // u32, pages
	configActual = 4
)

const (
	pageSize = 4096
	batch    = 256     // pages that the device is told of at once: Firecracker takes no more
	huge     = 2 << 20 // bytes of a large page
	hugeSize = huge / pageSize
)

// Memory is the machine's, in frames of 4 KiB by their physical addresses.
type Memory interface {
	Alloc(dst []uintptr) int
	Free(src []uintptr)
	AllocHuge() uintptr // 2 MiB, aligned; 0: there are none

	// Returned counts frames that were given out and came back: those that the
	// host has in use. The others are as Alloc, AllocHuge and their reverse, for
	// such memory only.
	Returned() uint64
	AllocReturned(dst []uintptr) int
	AllocReturnedHuge() uintptr
	FreeHuge(pa uintptr)

	// Hide makes the machine n frames smaller, or larger if n is negative.
	Hide(n int)
	Size() (free, total uint64) // bytes

	// Reclaim has caches free some, and says whether they did.
	Reclaim() bool
}

// Balloon is the balloon.
type Balloon struct {
	dev    *virtio.Device
	mem    Memory
	hidden bool // pages in the balloon do not count as the machine's

	wake chan struct{} // the driver's goroutine has something to do
	lost atomic.Bool   // the device was reset, and knows of no pages

	mu     sync.Mutex
	pages  [][]uint32 // frame numbers in the balloon, in chunks of chunkSize; only the last is not full
	n      int        // how many
	target uint32     // as it was last seen
	hold   bool       // memory was taken back that the machine could not do without

	inflate, deflate, reports pipe
	stats                     pipe
	told                      int    // pages that the host knows of as in the balloon; -1: none that it knows
	reported                  uint64 // Memory.Returned when free memory was reported last
	pause                     uint64 // until it is next looked at, ns
}

const chunkSize = 1024

// New starts the balloon.
func New(d *virtio.Device, mem Memory) (*Balloon, error) {
	b := &Balloon{dev: d, mem: mem, wake: make(chan struct{}, 1), pause: firstPause}
	f, err := d.Negotiate(featureStats | featureDeflateOnOOM | featureReporting)
	if err != nil {
		return nil, err
	}
	b.hidden = f&featureDeflateOnOOM == 0
	if err := b.queues(); err != nil {
		return nil, err
	}
	d.OnConfig(b.kick)
	d.OnFail(b.fail)
	d.OnReset(b.restart)
	if err := d.Start(); err != nil {
		return nil, err
	}
	if b.stats.q != nil {
		b.offerStats()
	}
	go b.run()
	return b, nil
}

// queues makes the queues that there are: what is not offered has no number.
func (b *Balloon) queues() error {
	i := 0
	for _, q := range []struct {
		pipe    *pipe
		feature uint64
	}{{&b.inflate, 0}, {&b.deflate, 0}, {&b.stats, featureStats}, {nil, featureHints}, {&b.reports, featureReporting}} {
		if q.feature != 0 && b.dev.Offered()&q.feature == 0 {
			continue
		}
		var err error
		if q.pipe == nil {
			_, err = b.dev.NewQueue(i, 2, nil)
		} else {
			err = q.pipe.open(b.dev, i)
		}
		if err != nil {
			return err
		}
		i++
	}
	b.stats.notify = b.kick
	return nil
}

// kick lets run look what there is to do.
func (b *Balloon) kick() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Balloon) fail(err error) {
	for _, p := range []*pipe{&b.inflate, &b.deflate, &b.reports} {
		p.end(err)
	}
	b.kick()
}

// restart resets the device. It gets the requests again that it had, and whoever waits for one
// goes on waiting; then run tells it what is in the balloon.
func (b *Balloon) restart() error {
	pipes := [...]*pipe{&b.inflate, &b.deflate, &b.stats, &b.reports}
	for _, p := range pipes {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	err := b.dev.Reset(func(_ *virtio.Queue, token any) { token.(*pipe).again() })
	for _, p := range pipes {
		if err == nil && p.q != nil {
			p.q.Kick()
		}
	}
	b.lost.Store(true)
	b.kick()
	return err
}

const (
	firstPause = 2e9 // ns
	lastPause  = 60e9
	retry      = 5e9 // until memory that was not free is asked for again
)

func (b *Balloon) run() {
	var timer *gotimer.Timer
	for b.dev.Err() == nil {
		after := uint64(0)
		if !b.adjust() {
			after = retry
		}
		if b.reports.q != nil {
			b.report()
			if after == 0 || b.pause < after {
				after = b.pause
			}
		}
		if b.stats.q != nil && b.stats.idle() {
			b.offerStats()
		}
		switch {
		case after == 0:
		case timer == nil:
			timer = gotimer.Start(after, b.kick)
		default:
			timer.Reset(after)
		}
		<-b.wake
	}
}

// adjust makes the balloon as large as the host wants it, tells it how large it is, and says whether that
// was possible.
func (b *Balloon) adjust() (ok bool) {
	target := b.dev.Config32(configTarget)
	b.mu.Lock()
	if target != b.target {
		b.target, b.hold = target, false
	}
	if b.lost.Swap(false) {
		b.retell()
		b.told = -1
	}
	b.mu.Unlock()
	ok = true
	for b.dev.Err() == nil && ok {
		b.mu.Lock()
		n, hold := b.n, b.hold
		switch {
		case n > int(target):
			ok = b.shrink(n - int(target))
		case n < int(target) && !hold:
			ok = b.grow(int(target) - n)
		default:
			b.mu.Unlock()
			b.tellActual(n)
			return true
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	n := b.n
	b.mu.Unlock()
	b.tellActual(n)
	return false
}

// tellActual tells the host how many pages are in the balloon, if it does not know.
func (b *Balloon) tellActual(n int) {
	if n != b.told && b.dev.Err() == nil {
		b.told = n
		b.dev.SetConfig32(configActual, uint32(n))
	}
}

// spare is what the balloon leaves of total memory, in bytes: as much as a
// program needs to go on.
func spare(total uint64) uint64 { return max(total/64, 1<<20) }

// grow gives the host up to n pages, or has some made free, and says whether it
// could. The caller holds b.mu.
func (b *Balloon) grow(n int) bool {
	free, total := b.mem.Size()
	least := spare(total)
	if n >= hugeSize && free >= least+huge {
		if pa := b.mem.AllocHuge(); pa != 0 {
			var frames [batch]uintptr
			for i := 0; i < hugeSize; i++ {
				frames[i%batch] = pa + uintptr(i)*pageSize
				if i%batch == batch-1 && !b.give(frames[:]) {
					return false // the device failed, and has the memory
				}
			}
			return true
		}
	}
	if free < least+batch*pageSize {
		return b.mem.Reclaim()
	}
	var frames [batch]uintptr
	got := b.mem.Alloc(frames[:min(n, batch)])
	return got > 0 && b.give(frames[:got])
}

// give gives frames to the host.
func (b *Balloon) give(frames []uintptr) bool {
	for _, f := range frames {
		last := len(b.pages) - 1
		if last < 0 || len(b.pages[last]) == chunkSize {
			b.pages = append(b.pages, make([]uint32, 0, chunkSize))
			last++
		}
		b.pages[last] = append(b.pages[last], uint32(f/pageSize))
	}
	b.n += len(frames)
	if b.hidden {
		b.mem.Hide(len(frames))
	}
	return b.inflate.tell(frames)
}

// retell tells the device of the pages that are in the balloon. The caller holds b.mu.
func (b *Balloon) retell() {
	var frames [batch]uintptr
	for _, chunk := range b.pages {
		for len(chunk) > 0 {
			n := min(len(chunk), batch)
			for i, f := range chunk[:n] {
				frames[i] = uintptr(f) * pageSize
			}
			if !b.inflate.tell(frames[:n]) {
				return // it failed
			}
			chunk = chunk[n:]
		}
	}
}

// shrink takes up to n pages back from the host, at most a batch. The caller holds
// b.mu.
func (b *Balloon) shrink(n int) bool {
	n = min(n, batch)
	var frames [batch]uintptr
	got := 0
	for ; got < n && b.n > 0; got++ {
		last := len(b.pages) - 1
		chunk := b.pages[last]
		frames[got] = uintptr(chunk[len(chunk)-1]) * pageSize
		b.pages[last] = chunk[:len(chunk)-1]
		if len(chunk) == 1 {
			b.pages[last] = nil
			b.pages = b.pages[:last]
		}
		b.n--
	}
	if !b.deflate.tell(frames[:got]) {
		return false
	}
	if b.hidden {
		b.mem.Hide(-got)
	}
	b.mem.Free(frames[:got])
	return got > 0
}

// Relieve is for who found no memory. It takes some pages back, if the host agrees
// to that when there are no others, and says whether there are any now.
func (b *Balloon) Relieve() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if free, _ := b.mem.Size(); free > 0 {
		return true
	}
	if b.hidden || b.dev.Err() != nil || b.n == 0 {
		return false
	}
	b.hold = true
	defer b.kick() // the host is to be told
	return b.shrink(batch)
}

// Statistics (section 5.5.6.4): a tag of 16 bits and a value of 64.
const (
	statFree      = 4 // bytes, like the others
	statTotal     = 5
	statAvailable = 6
)

// offerStats gives the device what it may ask for at any time: the buffer comes
// back when it wants newer numbers.
func (b *Balloon) offerStats() {
	free, total := b.mem.Size()
	p := b.stats.buf.Bytes[:0]
	for _, s := range [...]struct {
		tag   uint16
		value uint64
	}{{statFree, free}, {statTotal, total}, {statAvailable, free}} {
		p = append(p, byte(s.tag), byte(s.tag>>8))
		for i := range 8 {
			p = append(p, byte(s.value>>(8*i)))
		}
	}
	b.stats.add([]virtio.Buffer{b.stats.buf.Buffer(0, len(p))}, nil)
}
