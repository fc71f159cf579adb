//go:build netstack

package stack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
)

// firstNIC is the endpoints of the first device, or of all devices, that an ID was
// registered for, which is the only one nearly always: netstack has a map for each
// connection. Others, if there are any, are in endpointsByNIC's map.
type firstNIC struct {
	taken bool
	nic   tcpip.NICID
	multiPortEndpoint
	room [1]TransportEndpoint
}

// at returns the endpoints of the device, or nil; epsByNIC.mu is held.
func (epsByNIC *endpointsByNIC) at(nic tcpip.NICID) *multiPortEndpoint {
	if f := &epsByNIC.first; f.taken && f.nic == nic {
		return &f.multiPortEndpoint
	}
	return epsByNIC.endpoints[nic]
}

// devices is how many devices there are endpoints of; epsByNIC.mu is held.
func (epsByNIC *endpointsByNIC) devices() int {
	n := len(epsByNIC.endpoints)
	if epsByNIC.first.taken {
		n++
	}
	return n
}

// match returns those that a packet that came by the device is for, or nil; epsByNIC.mu is
// held.
func (epsByNIC *endpointsByNIC) match(nic tcpip.NICID) *multiPortEndpoint {
	if e := epsByNIC.at(nic); e != nil {
		return e
	}
	return epsByNIC.at(0)
}

func (epsByNIC *endpointsByNIC) transportEndpoints() []TransportEndpoint {
	epsByNIC.mu.RLock()
	defer epsByNIC.mu.RUnlock()
	var list []TransportEndpoint
	if epsByNIC.first.taken {
		list = epsByNIC.first.transportEndpoints()
	}
	for _, e := range epsByNIC.endpoints {
		list = append(list, e.transportEndpoints()...)
	}
	return list
}

// handlePacket delivers a packet, and says whether it could.
func (epsByNIC *endpointsByNIC) handlePacket(id TransportEndpointID, p *PacketBuffer) bool {
	epsByNIC.mu.RLock()
	m := epsByNIC.match(p.NICID)
	if m == nil {
		epsByNIC.mu.RUnlock()
		return false
	}
	// TCP's are between two, as deliverPacket has made sure.
	if m.transProto != header.TCPProtocolNumber && isInboundMulticastOrBroadcast(p, id.LocalAddress) {
		m.handlePacketAll(id, p)
		epsByNIC.mu.RUnlock()
		return true
	}
	e := m.selectEndpoint(id, epsByNIC.seed)
	if by := m.groupMember(p); by != nil {
		e = by
	}
	if q, ok := m.demux.queuedProtocols[protocolIDs{m.netProto, m.transProto}]; ok {
		q.QueuePacket(e, id, p)
		epsByNIC.mu.RUnlock()
		return true
	}
	epsByNIC.mu.RUnlock()
	e.HandlePacket(id, p)
	return true
}

// handleError delivers an error to the endpoint.
func (epsByNIC *endpointsByNIC) handleError(n *nic, id TransportEndpointID, failed TransportError, p *PacketBuffer) {
	epsByNIC.mu.RLock()
	m := epsByNIC.match(n.ID())
	if m == nil {
		epsByNIC.mu.RUnlock()
		return
	}
	e := m.selectEndpoint(id, epsByNIC.seed)
	epsByNIC.mu.RUnlock()
	e.HandleError(failed, p)
}

func (epsByNIC *endpointsByNIC) registerEndpoint(d *transportDemuxer, network tcpip.NetworkProtocolNumber, transport tcpip.TransportProtocolNumber, t TransportEndpoint, flags ports.Flags, nic tcpip.NICID) tcpip.Error {
	epsByNIC.mu.Lock()
	defer epsByNIC.mu.Unlock()
	if m := epsByNIC.at(nic); m != nil {
		return m.singleRegisterEndpoint(t, flags)
	}
	if f := &epsByNIC.first; !f.taken {
		f.taken, f.nic = true, nic
		f.demux, f.netProto, f.transProto, f.endpoints = d, network, transport, f.room[:0]
		return f.singleRegisterEndpoint(t, flags)
	}
	m := &multiPortEndpoint{demux: d, netProto: network, transProto: transport}
	if epsByNIC.endpoints == nil {
		epsByNIC.endpoints = map[tcpip.NICID]*multiPortEndpoint{}
	}
	epsByNIC.endpoints[nic] = m
	return m.singleRegisterEndpoint(t, flags)
}

func (epsByNIC *endpointsByNIC) checkEndpoint(flags ports.Flags, nic tcpip.NICID) tcpip.Error {
	epsByNIC.mu.RLock()
	defer epsByNIC.mu.RUnlock()
	if m := epsByNIC.at(nic); m != nil {
		return m.singleCheckEndpoint(flags)
	}
	return nil
}

// unregisterEndpoint says whether nothing is registered any more.
func (epsByNIC *endpointsByNIC) unregisterEndpoint(nic tcpip.NICID, t TransportEndpoint, flags ports.Flags) bool {
	epsByNIC.mu.Lock()
	defer epsByNIC.mu.Unlock()
	m := epsByNIC.at(nic)
	if m == nil {
		return false
	}
	if m.unregisterEndpoint(t, flags) {
		if m == &epsByNIC.first.multiPortEndpoint {
			epsByNIC.first.taken = false
		} else {
			delete(epsByNIC.endpoints, nic)
		}
	}
	return epsByNIC.devices() == 0
}
