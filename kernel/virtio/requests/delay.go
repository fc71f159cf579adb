package requests

import (
	"runtime"

	"gosv/kernel/metal"
)

// delay is what is known of notifications that wait. Each is a VM exit, and one does for
// many requests. So while more threads could run than there are CPUs, any of which may be
// about to ask for something, it waits until they have had their turn: if the last one was
// short, which is found out before. The device sees the requests meanwhile, if it looks.
type delay struct {
	crowded func() bool    // more could run than there are CPUs
	now     func() uint64  // ns
	later   func(f func()) // calls f behind those who could run

	held        int    // requests that the device was not notified of
	since, last uint64 // when the first and the last request came, of those or of any
	inLine      bool   // turn is to be called,
	prompt      bool   // which the last time did not take long
}

const (
	mostHeld = 8         // the device is to have something to do meanwhile
	patience = 4_000_000 // ns; who computes has turns of 10 ms
)

func newDelay() delay {
	return delay{crowded: metal.Crowded, now: metal.Now, later: func(f func()) {
		go func() {
			runtime.Gosched()
			f()
		}()
	}}
}

// wait says that the notification of what was added can wait.
func (q *Queue) wait() bool {
	d := &q.delay
	if !d.crowded() {
		return false
	}
	d.last = d.now()
	if d.held == 0 {
		d.since = d.last
	}
	if !d.inLine {
		d.inLine = true
		d.later(q.turn)
	}
	if d.held++; !d.prompt || d.held >= mostHeld || d.last-d.since > patience {
		return false
	}
	q.Show()
	return true
}

// turn is called when those who could run have done so.
func (q *Queue) turn() {
	d := &q.delay
	q.mu.Lock()
	d.inLine = false
	d.prompt = d.now()-d.last < patience
	q.settle(q.publish(), new(list))
}

// publish says whether the device wants to be notified of what was added.
func (q *Queue) publish() bool {
	q.delay.held = 0
	return q.Publish()
}
