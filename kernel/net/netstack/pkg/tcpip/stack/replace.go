//go:build netstack

package stack

import "gvisor.dev/gvisor/pkg/tcpip"

// ReplaceTransportEndpoint puts another endpoint in the place of one that is registered.
func (s *Stack) ReplaceTransportEndpoint(networks []tcpip.NetworkProtocolNumber, transport tcpip.TransportProtocolNumber, id TransportEndpointID, old, new TransportEndpoint, nic tcpip.NICID) {
	for _, network := range networks {
		if eps := s.demux.protocol[protocolIDs{network, transport}]; eps != nil {
			eps.replace(id, old, new, nic)
		}
	}
}

func (eps *transportEndpoints) replace(id TransportEndpointID, old, new TransportEndpoint, nic tcpip.NICID) {
	eps.mu.Lock()
	defer eps.mu.Unlock()
	eps.forget(&id)
	by := eps.endpoints[id]
	if by == nil {
		return
	}
	by.mu.Lock()
	defer by.mu.Unlock()
	m := by.at(nic)
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range m.endpoints {
		if e == old {
			m.endpoints[i] = new
		}
	}
}
