//go:build netstack

package tcp

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Linux's times and numbers (TCP_DELACK_MIN, TCP_MAX_QUICKACKS).
const (
	ackDelay  = 40 * time.Millisecond
	quickACKs = 16
)

// delayedACK is an endpoint's acknowledgement that is kept back for a while (RFC 1122
// section 4.2.3.2): what the program answers carries it, too. Netstack sends two packets
// for a request without, and the first of them costs a third of what it takes to answer.
type delayedACK struct {
	listed bool
	next   *Endpoint
	quick  int // so many are sent at once: the last one was answered too late
}

// delayedACKs are the endpoints that have kept one back since the timer last looked.
type delayedACKs struct {
	mu          sync.Mutex // guards what follows, and the endpoints' listed and next
	first, last *Endpoint
	timer       tcpip.Timer
	armed       bool
}

// delayACK says whether the acknowledgement that is due may wait. At most a segment's data
// may, if nothing is missing before what came.
//
// +checklocks:e.mu
func (e *Endpoint) delayACK() bool {
	if e.EndpointState() != StateEstablished || int(e.snd.MaxSentAck.Size(e.rcv.RcvNxt)) > int(e.amss) || e.rcv.pendingRcvdSegments.Len() > 0 {
		return false
	}
	if e.delayed.quick > 0 {
		e.delayed.quick--
		return false
	}
	a := &e.protocol.delayed
	a.mu.Lock()
	if !e.delayed.listed {
		a.push(e)
		if !a.armed {
			a.arm(e, ackDelay)
		}
	}
	a.mu.Unlock()
	return true
}

// push puts e at the end of the list; a.mu is held.
func (a *delayedACKs) push(e *Endpoint) {
	e.delayed.listed, e.delayed.next = true, nil
	if a.first == nil {
		a.first = e
	} else {
		a.last.delayed.next = e
	}
	a.last = e
}

// pop takes out what was in the list; a.mu is held.
func (a *delayedACKs) pop() *Endpoint {
	e := a.first
	if e != nil {
		a.first = e.delayed.next
		e.delayed.listed, e.delayed.next = false, nil
	}
	return e
}

// arm lets the timer fire; a.mu is held.
func (a *delayedACKs) arm(e *Endpoint, d time.Duration) {
	a.armed = true
	if a.timer == nil {
		a.timer = e.stack.Clock().AfterFunc(d, a.expire)
	} else {
		a.timer.Reset(d)
	}
}

// expire acknowledges what nobody has answered in time. Who has not kept it back for
// long stays in the list.
func (a *delayedACKs) expire() {
	a.mu.Lock()
	end := a.last
	for {
		e := a.pop()
		if e == nil {
			break
		}
		a.mu.Unlock()
		left := time.Duration(0)
		timerHandler(e, func() tcpip.Error {
			if !e.EndpointState().connected() || e.rcv.RcvNxt == e.snd.MaxSentAck {
				return nil
			}
			if left = ackDelay - e.stack.Clock().NowMonotonic().Sub(e.rcv.lastRcvdAckTime); left <= 0 {
				e.delayed.quick = quickACKs
				e.snd.sendAck()
			}
			return nil
		})()
		a.mu.Lock()
		if left > 0 && !e.delayed.listed {
			a.push(e)
		}
		if e == end {
			break
		}
	}
	a.armed = false
	if a.first != nil {
		a.arm(a.first, ackDelay/4)
	}
	a.mu.Unlock()
}
