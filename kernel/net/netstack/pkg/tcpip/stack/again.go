//go:build netstack

package stack

// Again returns another route like r, or nil if that is not one any more.
func (r *Route) Again() *Route {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.isValidForOutgoingRLocked() || !r.localAddressEndpoint.TryIncRef() {
		return nil
	}
	return &Route{
		routeInfo:            r.routeInfo,
		localAddressNIC:      r.localAddressNIC,
		localAddressEndpoint: r.localAddressEndpoint,
		remoteLinkAddress:    r.remoteLinkAddress,
		outgoingNIC:          r.outgoingNIC,
		linkRes:              r.linkRes,
		neighborEntry:        r.neighborEntry,
		mtu:                  r.mtu,
	}
}
