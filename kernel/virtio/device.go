package virtio

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"gosv/kernel/platform"
)

// Device is a device as its driver knows it. A driver has it for itself.
type Device struct {
	t Transport
	m Memory

	mu       sync.Mutex // serializes access to t
	offered  uint64     // features
	features uint64     // accepted
	queues   []*Queue
	onConfig func()
	onReset  func() error
	onFail   func(error)

	resetting atomic.Bool
	resets    int

	started atomic.Bool // what is above stays, and interrupts may look at it
	failed  atomic.Pointer[error]

	// Log gets a line when the device starts, Warn when it cannot or fails. Both
	// may be nil.
	Log, Warn func(line string)
}

// New returns the device behind t. Its queues will be in m.
func New(t Transport, m Memory) *Device { return &Device{t: t, m: m} }

// say passes a line on to f, if there is one.
func (d *Device) say(f func(string), line string) {
	if f != nil {
		f(TypeName(d.Type()) + ": " + d.String() + ": " + line)
	}
}

// Refuse says why the device cannot be used: what its driver's start gave.
func (d *Device) Refuse(err error) { d.say(d.Warn, "cannot be used: "+err.Error()) }

// Type is the device's type: TypeNet, ...
func (d *Device) Type() uint32 { return d.t.Type() }

// Legacy says whether d has the interface from before virtio 1.0, after
// Negotiate.
func (d *Device) Legacy() bool { return d.t.Legacy() }

// String says where d is, and its interrupt.
func (d *Device) String() string { return d.t.String() }

// Memory is where d's queues are, and its driver's buffers can be.
func (d *Device) Memory() Memory { return d.m }

// Offered are the features that the device has, which say what queues there are.
func (d *Device) Offered() uint64 { return d.offered }

// Features are the features that were accepted, Has says whether all of those
// in f are among them.
func (d *Device) Features() uint64  { return d.features }
func (d *Device) Has(f uint64) bool { return d.features&f == f }

const (
	errNeedsReset  Error = "it needs a reset"
	errNoQueue     Error = "it lacks a queue"
	errNoReset     Error = "it does not reset"
	errNoVersion1  Error = "it offers no virtio 1.0"
	errRefused     Error = "it refuses the features that it offered"
	errUnstable    Error = "its configuration never stays the same"
	errQueueExists Error = "its queue is in use"
	errQueueSize   Error = "it insists on a queue of a size that cannot be"
)

// patience is how often a condition is checked that takes the device a moment
// at most. Each time is a VM exit, so that the device's side runs meanwhile.
const patience = 10000

// Negotiate resets the device and agrees with it on features: those of wanted
// that it offers, and those that Queues use. It returns what is agreed on.
// (Section 3.1.1: the order, and each status bit by itself, matter.)
func (d *Device) Negotiate(wanted uint64) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	d.offered, d.features, err = d.negotiate(wanted)
	return d.features, err
}

func (d *Device) negotiate(wanted uint64) (offered, f uint64, err error) {
	if err := d.t.Open(); err != nil {
		return 0, 0, err
	}
	if err := d.reset(); err != nil {
		return 0, 0, err
	}
	d.t.SetStatus(StatusAcknowledge)
	d.t.SetStatus(StatusAcknowledge | StatusDriver)
	offered = d.t.Features()
	f = offered & (wanted | FeatureIndirect | FeatureEventIndex)
	if !d.t.Legacy() {
		f |= offered & (FeatureVersion1 | FeatureAccessPlatform)
		if f&FeatureVersion1 == 0 {
			d.t.SetStatus(StatusAcknowledge | StatusDriver | StatusFailed)
			return offered, 0, errNoVersion1
		}
	}
	d.t.SetFeatures(f)
	if !d.t.Legacy() {
		d.t.SetStatus(StatusAcknowledge | StatusDriver | StatusFeaturesOK)
		if d.t.Status()&StatusFeaturesOK == 0 {
			d.t.SetStatus(StatusAcknowledge | StatusDriver | StatusFailed)
			return offered, 0, errRefused
		}
	}
	return offered, f, nil
}

// reset brings the device into the state it had when the machine was switched
// on, where it mostly still is. Some devices cannot reset; no need to ask them.
func (d *Device) reset() error {
	for range patience {
		if d.t.Status() == 0 {
			return nil
		}
		d.t.SetStatus(0)
	}
	return errNoReset
}

// NewQueue makes queue i, of size entries or fewer, or if the device insists
// more. used is called when the device may have used buffers, on a goroutine
// that serves all devices, and must not block; nil for never. All queues are
// made between Negotiate and Start, also those that the driver does not use.
func (d *Device) NewQueue(i, size int, used func()) (*Queue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := d.t.QueueSize(i, min(size, maxQueue))
	if most <= 0 {
		return nil, errNoQueue
	}
	size = 1 << (bits.Len(uint(most)) - 1)
	if size > maxQueue || size != most && d.t.Legacy() { // which is not told how long the queue is
		return nil, errQueueSize
	}
	for _, q := range d.queues {
		if q.index == i {
			return nil, errQueueExists
		}
	}
	if d.queues == nil {
		if err := d.t.Connect(d); err != nil {
			return nil, err
		}
	}
	q, err := newQueue(d, i, size, used)
	if err != nil {
		return nil, err
	}
	if err := d.t.EnableQueue(i, q.rings); err != nil {
		d.m.Free(q.mem)
		return nil, err
	}
	d.queues = append(d.queues, q)
	return q, nil
}

// OnConfig has f called when the device's configuration changed, on a goroutine of
// its own. Call it before Start.
func (d *Device) OnConfig(f func()) { d.onConfig = f }

// OnFail has f called once, on a goroutine of its own, when the device fails.
// What is in flight then never comes back. It must wake whoever waits for it. Call
// OnFail before Start.
func (d *Device) OnFail(f func(error)) { d.onFail = f }

// OnReset has f called, on a goroutine of its own, when the device needs a reset. With no
// one else at d's queues it calls Reset. Without f, or if it returns an error, the device fails.
// Call OnReset before Start.
func (d *Device) OnReset(f func() error) { d.onReset = f }

// mostResets is how often a device may need one.
const mostResets = 100

// restart has the driver reset the device. It says so afterwards: what is said may go to that
// device.
func (d *Device) restart() {
	err := error(errNeedsReset)
	if d.resets++; d.onReset != nil && d.resets <= mostResets {
		err = d.onReset()
	}
	d.resetting.Store(false)
	if err != nil {
		d.Fail(err)
		return
	}
	d.say(d.Warn, "it needed a reset")
	d.Changed() // it has, or it needs a reset already
}

// Reset resets the device and lets it begin again as it was, but with empty queues. Then
// it calls back for each token that Next would have returned, those of a queue in the order in
// which they were added, to put what that stands for into the queue again, or give it up. The
// caller has the queues for itself, and notifies the device afterwards.
func (d *Device) Reset(back func(q *Queue, token any)) error {
	tokens, err := d.renew()
	if err != nil {
		return err
	}
	for i, q := range d.queues {
		for _, t := range tokens[i] {
			back(q, t)
		}
	}
	return nil
}

// renew is Reset; tokens are those of each queue.
func (d *Device) renew() (tokens [][]any, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, f, err := d.negotiate(d.features)
	if err == nil && f != d.features {
		err = errRefused
	}
	if err == nil {
		err = d.t.Connect(d)
	}
	for _, q := range d.queues {
		if err == nil && d.t.QueueSize(q.index, q.Size()) != q.Size() {
			err = errQueueSize
		}
		if err == nil {
			tokens = append(tokens, q.empty())
			err = d.t.EnableQueue(q.index, q.rings)
		}
	}
	if err == nil {
		err = d.start()
	}
	return tokens, err
}

// Start lets the device begin.
func (d *Device) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.start()
	if err == nil {
		d.say(d.Log, "started, features "+platform.Hex(d.features))
	}
	return err
}

func (d *Device) start() error {
	s := uint8(StatusAcknowledge | StatusDriver | StatusDriverOK)
	if !d.t.Legacy() {
		s |= StatusFeaturesOK
	}
	d.started.Store(true)
	d.t.SetStatus(s)
	if d.t.Status()&StatusNeedsReset != 0 {
		d.t.SetStatus(s | StatusFailed)
		return errNeedsReset
	}
	return nil
}

// Err is nil until the device fails.
func (d *Device) Err() error {
	if p := d.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Fail gives the device up: it broke the rules, or needs what we do not do.
// It is reset, so that it leaves our memory alone, and its queues return err.
// But a device that does not obey may still use the buffers that it has: they
// must not be used for anything else, ever.
func (d *Device) Fail(err error) {
	if !d.failed.CompareAndSwap(nil, &err) {
		return
	}
	// Whoever found out holds the driver's locks.
	go func() {
		d.say(d.Warn, "given up: "+err.Error())
		d.mu.Lock()
		d.t.SetStatus(d.t.Status() | StatusFailed)
		d.t.SetStatus(0)
		d.mu.Unlock()
		if d.onFail != nil {
			d.onFail(err)
		}
	}()
}

// Used implements Handler: for all queues, as most devices have one interrupt
// for them. What a driver leaves in a queue, for later, is no news.
func (d *Device) Used() (news, heeds bool) {
	if !d.started.Load() || d.Err() != nil {
		return false, false // a line that others share
	}
	for _, q := range d.queues {
		if q.used != nil && q.news() {
			at := q.usedIdx.Load()
			q.used()
			news = news || q.usedIdx.Load() != at
		}
	}
	return news, d.onConfig != nil
}

// Changed implements Handler.
func (d *Device) Changed() {
	if !d.started.Load() || d.Err() != nil {
		return
	}
	d.mu.Lock()
	s := d.t.Status()
	d.mu.Unlock()
	switch {
	case s&StatusNeedsReset != 0:
		if d.resetting.CompareAndSwap(false, true) {
			go d.restart()
		}
	case d.onConfig != nil:
		go d.onConfig()
	}
}

// The device's configuration, whose form is up to its type. Fields wider than
// 32 bits and byte strings are read as they were at one time (section 2.5.1).

func (d *Device) Config8(off int) uint8   { return uint8(d.config(off, 1)) }
func (d *Device) Config16(off int) uint16 { return uint16(d.config(off, 2)) }
func (d *Device) Config32(off int) uint32 { return d.config(off, 4) }

func (d *Device) Config64(off int) uint64 {
	return d.steady(func() uint64 {
		return uint64(d.t.ReadConfig(off, 4)) | uint64(d.t.ReadConfig(off+4, 4))<<32
	})
}

// ConfigBytes reads len(p) bytes.
func (d *Device) ConfigBytes(off int, p []byte) {
	d.steady(func() (sum uint64) {
		for i := range p {
			p[i] = uint8(d.t.ReadConfig(off+i, 1))
			sum = sum*257 + uint64(p[i])
		}
		return sum
	})
}

// SetConfig32 writes a field of the configuration.
func (d *Device) SetConfig32(off int, v uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t.WriteConfig(off, 4, v)
}

func (d *Device) config(off, width int) uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.t.ReadConfig(off, width)
}

// steady calls read until the configuration did not change meanwhile, which a
// legacy device shows only by what is read.
func (d *Device) steady(read func() uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, last := d.t.Generation(), uint64(0)
	for i := range patience {
		v := read()
		after := d.t.Generation()
		if after == before && (!d.t.Legacy() || i > 0 && v == last) {
			return v
		}
		before, last = after, v
	}
	d.Fail(errUnstable)
	return last
}
