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
	kind        timerKind
	target      tcpip.MonotonicTime // when it expires, if it is enabled
	clockTarget tcpip.MonotonicTime // when the clock's timer fires
	timer       tcpip.Timer
	ep          *Endpoint
}

type (
	timerState uint8
	timerKind  uint8
)

const (
	timerUninitialized timerState = iota // or cleaned up
	timerStateDisabled
	timerStateEnabled
	timerStateOrphaned // disabled, but the clock's timer runs
)

const (
	onKeepalive timerKind = iota
	onResend
	onReorder
	onProbe
	onCork
)

// init makes it a disabled timer of e's.
func (t *timer) init(_ tcpip.Clock, e *Endpoint, kind timerKind) {
	t.state, t.ep, t.kind = timerStateDisabled, e, kind
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
	timerHandler(t.ep, func() tcpip.Error {
		s := t.ep.snd // there is none yet if it is keepalive's
		switch t.kind {
		case onResend:
			return s.retransmitTimerExpired()
		case onReorder:
			return s.rc.reorderTimerExpired()
		case onProbe:
			return s.probeTimerExpired()
		case onCork:
			return s.corkTimerExpired()
		}
		return t.ep.keepaliveTimerExpired()
	})()
}
