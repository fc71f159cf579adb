//go:build netstack

package tcp

import "time"

// confirmReachable notes that the peer answers. Netstack's own sets a timer for each
// segment, to half a minute.
//
// +checklocks:e.mu
func (e *Endpoint) confirmReachable() {
	if now := e.rcv.lastRcvdAckTime; now.Sub(e.confirmed) >= time.Second {
		e.confirmed = now
		e.protocol.routes.confirm(e.route, now)
	}
}
