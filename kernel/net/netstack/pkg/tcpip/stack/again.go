//go:build netstack

package stack

// TryAcquire is Acquire, but returns false if the route is none any more.
func (r *Route) TryAcquire() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isValidForOutgoingRLocked() && r.localAddressEndpoint.TryIncRef()
}
