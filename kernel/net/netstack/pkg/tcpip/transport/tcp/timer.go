//go:build netstack

package tcp

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// timer is one of an endpoint's. To stop it or to put it off leaves the clock's timer as it
// is: that fires early then, and is set again or not. Unlike netstack's own, it makes nothing
// before it is first set, since most of a connection's never are.
type timer struct {
	state       timerState
	target      tcpip.MonotonicTime // when it expires, if it is enabled
	clockTarget tcpip.MonotonicTime // when the clock's timer fires
	timer       tcpip.Timer
	ep          *Endpoint
	expired     func(*Endpoint) tcpip.Error // called with ep.mu held
}

type timerState int

const (
	timerUninitialized timerState = iota // or cleaned up
	timerStateDisabled
	timerStateEnabled
	timerStateOrphaned // disabled, but the clock's timer runs
)

// init makes it a disabled timer of e's.
func (t *timer) init(_ tcpip.Clock, e *Endpoint, expired func(*Endpoint) tcpip.Error) {
	t.state, t.ep, t.expired = timerStateDisabled, e, expired
}

// cleanup ends it. It may be about to fire.
func (t *timer) cleanup() {
	if t.timer != nil {
		t.timer.Stop()
		t.state, t.timer = timerUninitialized, nil
	}
}

func (t *timer) isUninitialized() bool { return t.state == timerUninitialized }

func (t *timer) enabled() bool { return t.state == timerStateEnabled }

// checkExpiration says whether it has expired, now that the clock's timer has fired.
func (t *timer) checkExpiration() bool {
	if t.state != timerStateEnabled {
		t.state = timerStateDisabled
		return false
	}
	if now := t.ep.stack.Clock().NowMonotonic(); now.Before(t.target) {
		t.clockTarget = t.target
		t.timer.Reset(t.target.Sub(now))
		return false
	}
	t.state = timerStateDisabled
	return true
}

func (t *timer) disable() {
	if t.state != timerStateDisabled {
		t.state = timerStateOrphaned
	}
}

func (t *timer) enable(d time.Duration) {
	t.target = t.ep.stack.Clock().NowMonotonic().Add(d)
	if t.state == timerStateDisabled || t.target.Before(t.clockTarget) {
		t.clockTarget = t.target
		if t.timer == nil {
			t.timer = t.ep.stack.Clock().AfterFunc(d, t.fire)
		} else {
			t.timer.Reset(d)
		}
	}
	t.state = timerStateEnabled
}

func (t *timer) fire() {
	e, expired := t.ep, t.expired
	timerHandler(e, func() tcpip.Error { return expired(e) })()
}
