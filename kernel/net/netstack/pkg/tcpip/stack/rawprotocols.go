//go:build netstack

package stack

import "sync"

// unknownProtocols are those that only raw endpoints are of. What is kept of one stays, as it does of
// the protocols that netstack knows.
type unknownProtocols struct {
	mu        sync.RWMutex
	endpoints map[protocolIDs]*transportEndpoints // nil until there is one
}

// raw returns what the raw endpoints of a protocol are among, if there are any or netstack knows it.
func (d *transportDemuxer) raw(ids protocolIDs) (*transportEndpoints, bool) {
	eps, ok := d.protocol[ids]
	if !ok {
		d.unknown.mu.RLock()
		eps, ok = d.unknown.endpoints[ids]
		d.unknown.mu.RUnlock()
	}
	return eps, ok
}

// newRaw is raw for a new one.
func (d *transportDemuxer) newRaw(ids protocolIDs) (*transportEndpoints, bool) {
	if eps, ok := d.raw(ids); ok {
		return eps, true
	}
	u := &d.unknown
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.endpoints == nil {
		u.endpoints = map[protocolIDs]*transportEndpoints{}
	}
	eps := u.endpoints[ids]
	if eps == nil {
		eps = new(transportEndpoints)
		u.endpoints[ids] = eps
	}
	return eps, true
}

// isRaw says whether a protocol has raw endpoints, so that its packets are not for nobody.
func (d *transportDemuxer) isRaw(ids protocolIDs) bool {
	eps, ok := d.raw(ids)
	if !ok {
		return false
	}
	eps.mu.RLock()
	defer eps.mu.RUnlock()
	return len(eps.rawEndpoints) > 0
}
