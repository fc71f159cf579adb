package virtio

import (
	"sync/atomic"
	"unsafe"
)

// Queue is a split virtqueue (section 2.7). The caller serializes calls of its
// methods, but for Notify.
type Queue struct {
	dev   *Device
	index int
	used  func()
	mem   Piece
	rings Rings // where it is

	// Shared with the device. Descriptors and available ring are only written,
	// the used ring is only read.
	desc       []descriptor
	availHead  *uint32 // flags, and idx << 16: both are ours, so one store does for them
	avail      []uint16
	usedEvent  *uint32 // lower half; the upper is padding
	usedHead   *uint32 // flags, and idx << 16
	usedRing   []usedElem
	availEvent *uint32 // lower half

	// Ours alone.
	eventIndex bool
	indirect   bool
	quiet      bool // no interrupts wanted
	anyLength  bool
	event      uint16  // what usedEvent says
	chains     []chain // by their first descriptor
	next       []uint16
	free       uint16 // first of the free descriptors, which next links
	nfree      int
	inFlight   int
	availIdx   uint16
	shown      uint16        // the device sees availIdx up to here,
	published  uint16        // and was notified up to here, if it wanted
	usedIdx    atomic.Uint32 // low half: what comes next of the used ring
	tables     []Piece       // of indirect descriptors, for tablesPerPiece chains each
}

// descriptor is struct virtq_desc.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

// usedElem is struct virtq_used_elem.
type usedElem struct{ id, len uint32 }

// chain is what we know of a chain in flight; n is 0 if it is not.
type chain struct {
	token    any
	n        uint16 // descriptors in the queue
	at       uint16 // of the available ring
	writable uint64 // bytes
}

const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4

	availNoInterrupt = 1
	usedNoNotify     = 1
)

const (
	descSize = 16
	usedSize = 8

	maxQueue = 1024 // entries; 32768 in the specification

	maxIndirect    = 64 // longer chains are not put in tables
	tableSize      = maxIndirect * descSize
	tablesPerPiece = 4096 / tableSize
)

const (
	ErrFull    Error = "the queue is full"
	ErrTooLong Error = "there are more buffers than the queue has entries, or none"

	errJump     Error = "its used index jumps"
	errID       Error = "it returns buffers that it was not given"
	errOverflow Error = "it claims to have written more than there was room for"
)

// layout returns the offsets of available and used ring, and the size of all
// of a queue with n entries. The used ring is aligned to align.
func layout(n, align int) (avail, used, size int) {
	avail = n * descSize
	used = (avail + 4 + 2*n + 4 + align - 1) &^ (align - 1)
	return avail, used, used + 4 + usedSize*n + 4
}

func newQueue(d *Device, i, n int, used func()) (*Queue, error) {
	align := 64 // a cache line; 4 would do
	if d.t.Legacy() {
		align = legacyAlign
	}
	availOff, usedOff, size := layout(n, align)
	mem, err := d.m.Alloc(size)
	if err != nil {
		return nil, err
	}
	at := func(off int) unsafe.Pointer { return unsafe.Pointer(&mem.Bytes[off]) }
	q := &Queue{
		dev: d, index: i, used: used, mem: mem,
		desc:       unsafe.Slice((*descriptor)(at(0)), n),
		availHead:  (*uint32)(at(availOff)),
		avail:      unsafe.Slice((*uint16)(at(availOff+4)), n),
		usedEvent:  (*uint32)(at(availOff + 4 + 2*n)),
		usedHead:   (*uint32)(at(usedOff)),
		usedRing:   unsafe.Slice((*usedElem)(at(usedOff+4)), n),
		availEvent: (*uint32)(at(usedOff + 4 + usedSize*n)),
		eventIndex: d.Has(FeatureEventIndex),
		indirect:   d.Has(FeatureIndirect),
		rings:      Rings{n, mem.Addr, mem.Addr + uint64(availOff), mem.Addr + uint64(usedOff)},
		quiet:      used == nil,
	}
	q.empty()
	return q, nil
}

// empty makes q as it was when it was new, and returns what Next would have in time, in the
// order in which it was added.
func (q *Queue) empty() (tokens []any) {
	var chains []uintptr
	for i, c := range q.chains {
		if c.n != 0 {
			chains = append(chains, uintptr(c.at-q.availIdx)<<16|uintptr(i))
		}
	}
	Sort(chains)
	for _, c := range chains {
		tokens = append(tokens, q.chains[uint16(c)].token)
	}
	clear(q.mem.Bytes)
	n := len(q.desc)
	q.chains, q.next = make([]chain, n), make([]uint16, n)
	for i := range q.next {
		q.next[i] = uint16(i + 1)
	}
	q.free, q.nfree, q.inFlight = 0, n, 0
	q.availIdx, q.shown, q.published, q.event = 0, 0, 0, 0
	q.usedIdx.Store(0)
	q.Interrupts(!q.quiet)
	return tokens
}

// Size is the number of entries. That many buffers can be in flight, or more
// where the device knows indirect descriptors. No chain can be longer.
func (q *Queue) Size() int { return len(q.desc) }

// AnyLength makes Next believe nothing that the device says of how much it wrote,
// which some devices do not get right: a driver that does not need to know.
func (q *Queue) AnyLength() { q.anyLength = true }

// InFlight is the number of chains that the device has.
func (q *Queue) InFlight() int { return q.inFlight }

// Add puts a chain of buffers in the queue: those in out for the device to
// read, then those in in for it to write. Next will return token. The device
// does not see the chain before Kick or Publish. The error is ErrFull if there
// may be room once chains came back, ErrTooLong, or that of the Device.
func (q *Queue) Add(out, in []Buffer, token any) error {
	if err := q.dev.Err(); err != nil {
		return err
	}
	n := len(out) + len(in)
	if n == 0 || n > len(q.desc) {
		return ErrTooLong
	}
	// A table costs the device a look elsewhere: it is for when there is
	// little room.
	indirect := q.indirect && n > 1 && n <= maxIndirect && 4*n > q.nfree
	c := chain{token: token, n: uint16(n), at: q.availIdx}
	if indirect {
		c.n = 1
	}
	if int(c.n) > q.nfree {
		return ErrFull
	}
	for _, b := range in {
		c.writable += uint64(b.Len)
	}
	head := q.free
	if indirect {
		t, addr, err := q.table(head)
		if err != nil {
			return err
		}
		for i := range n {
			t[i] = describe(out, in, i, uint16(i+1))
		}
		q.desc[head] = descriptor{addr: addr, len: uint32(n * descSize), flags: descIndirect}
		q.free = q.next[head]
	} else {
		at := head
		for i := range n {
			q.desc[at] = describe(out, in, i, q.next[at])
			at = q.next[at]
		}
		q.free = at
	}
	q.nfree -= int(c.n)
	q.inFlight++
	q.chains[head] = c
	q.avail[int(q.availIdx)&(len(q.avail)-1)] = head
	q.availIdx++
	return nil
}

// describe returns the descriptor of the i-th buffer of a chain; next is the
// index of the one after, if there is one.
func describe(out, in []Buffer, i int, next uint16) descriptor {
	var d descriptor
	if i < len(out) {
		d = descriptor{addr: out[i].Addr, len: out[i].Len}
	} else {
		b := in[i-len(out)]
		d = descriptor{addr: b.Addr, len: b.Len, flags: descWrite}
	}
	if i+1 < len(out)+len(in) {
		d.flags |= descNext
		d.next = next
	}
	return d
}

// table returns the indirect descriptors of the chain at head.
func (q *Queue) table(head uint16) ([]descriptor, uint64, error) {
	if q.tables == nil {
		q.tables = make([]Piece, (len(q.desc)+tablesPerPiece-1)/tablesPerPiece)
	}
	p := &q.tables[head/tablesPerPiece]
	if p.Bytes == nil {
		var err error
		if *p, err = q.dev.m.Alloc(tablesPerPiece * tableSize); err != nil {
			return nil, 0, err
		}
	}
	off := int(head%tablesPerPiece) * tableSize
	return unsafe.Slice((*descriptor)(unsafe.Pointer(&p.Bytes[off])), maxIndirect), p.Addr + uint64(off), nil
}

// Kick makes the device see what was added.
func (q *Queue) Kick() {
	if q.Publish() {
		q.Notify()
	}
}

// Publish puts what was added where the device sees it, and says whether it
// wants to be notified of that. It is the part of Kick for which the caller
// must have the queue for itself.
func (q *Queue) Publish() (notify bool) {
	old, idx := q.published, q.availIdx
	if old == idx || q.dev.Err() != nil {
		return false
	}
	q.published = idx
	q.Show()
	// Show's store is a full barrier, as there must be one before this load
	// (section 2.7.13.4.1).
	if q.eventIndex {
		event := uint16(atomic.LoadUint32(q.availEvent))
		return idx-event-1 < idx-old
	}
	return atomic.LoadUint32(q.usedHead)&usedNoNotify == 0
}

// Show puts what was added where the device sees it if it looks. Publish must follow.
func (q *Queue) Show() {
	if q.shown != q.availIdx {
		q.shown = q.availIdx
		q.storeAvail()
	}
}

func (q *Queue) storeAvail() {
	v := uint32(q.shown) << 16
	if q.quiet && !q.eventIndex {
		v |= availNoInterrupt
	}
	atomic.StoreUint32(q.availHead, v)
}

// Notify tells the device to look at the queue.
func (q *Queue) Notify() { q.dev.t.Notify(q.index) }

// Next takes a chain that the device has used: its token, and how many bytes
// the device wrote. When there is none, the next one will be an interrupt.
func (q *Queue) Next() (token any, written uint32, ok bool) {
	if !q.news() && !q.rearm() || q.dev.Err() != nil {
		return nil, 0, false
	}
	at := uint16(q.usedIdx.Load())
	if ahead := uint16(atomic.LoadUint32(q.usedHead)>>16) - at; int(ahead) > q.inFlight {
		return q.lied(errJump)
	}
	e := &q.usedRing[int(at)&(len(q.usedRing)-1)]
	id, written := atomic.LoadUint32(&e.id), atomic.LoadUint32(&e.len)
	if id >= uint32(len(q.chains)) || q.chains[id].n == 0 {
		return q.lied(errID)
	}
	c := q.chains[id]
	if uint64(written) > c.writable {
		// Old devices count what they read, too (section 2.7.8.2).
		if c.writable != 0 && !q.dev.t.Legacy() && !q.anyLength {
			return q.lied(errOverflow)
		}
		written = uint32(c.writable)
	}
	q.chains[id] = chain{}
	q.inFlight--
	last := uint16(id)
	for range c.n - 1 {
		last = q.next[last]
	}
	q.next[last] = q.free
	q.free = uint16(id)
	q.nfree += int(c.n)
	q.usedIdx.Store(uint32(at + 1))
	return c.token, written, true
}

func (q *Queue) lied(err error) (any, uint32, bool) {
	q.dev.Fail(err)
	return nil, 0, false
}

// news says whether the device has used chains that Next has not returned.
// Anybody may ask.
func (q *Queue) news() bool {
	return atomic.LoadUint32(q.usedHead)>>16 != q.usedIdx.Load()
}

// rearm asks for an interrupt when the next chain is used, and says whether
// one has been meanwhile.
func (q *Queue) rearm() bool {
	if at := uint16(q.usedIdx.Load()); q.eventIndex && !q.quiet && q.event != at {
		q.event = at
		atomic.StoreUint32(q.usedEvent, uint32(at)) // a full barrier
		return q.news()
	}
	return false
}

// Interrupts switches the queue's interrupts on or off. Off is a hint. After
// on, the caller looks whether there is a Next, as that will be no interrupt.
func (q *Queue) Interrupts(on bool) {
	q.quiet = !on
	switch {
	case !q.eventIndex:
		q.storeAvail()
	case on:
		q.rearm()
	default:
		q.event = uint16(q.usedIdx.Load()) - 1 // 65,535 chains away
		atomic.StoreUint32(q.usedEvent, uint32(q.event))
	}
}
