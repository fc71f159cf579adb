package net

import (
	"fmt"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/nic"
)

// Config is what the network is told when it starts.
type Config struct {
	FindDevices func()        // calls Attach for each
	HostName    string        // to tell DHCP servers
	Static      string        // addresses of the first device instead of DHCP: see static
	Log         func(string)  // takes lines that a user should know
	NewIno      func() uint64 // returns the inode number of a new socket
	Busy        func() bool   // says whether a thread of the program runs on each CPU, or could: it will call Flush
}

// patience is how long a connection to elsewhere waits for a DHCP server at most.
const patience = 10 * time.Second

// Start looks for devices and configures them, beside the caller. What needs them
// waits: see configured.
func (n *Network) Start(c Config) {
	deepen()
	n.config = c
	n.hold.busy = c.Busy
	go n.configure()
}

func (n *Network) configure() {
	n.config.FindDevices()
	n.mu.Lock()
	devices := n.devices
	n.mu.Unlock()
	if len(devices) == 0 {
		close(n.isAttached)
		close(n.isConfigured)
		return
	}
	n.up()
	ready := make(chan struct{}, len(devices))
	waiting := 0
	for i, d := range devices {
		e := newDevice(n, d)
		e.link = &link{
			name:  fmt.Sprintf("eth%d", i),
			kind:  arphrdEther,
			flags: iffUp | iffBroadcast | iffRunning | iffMulticast | iffLowerUp,
			mtu:   d.MTU(),
			mac:   e.mac,
			dev:   d,
		}
		if err := d.Start(e); err != nil {
			n.config.Log("network: " + e.link.name + ": " + err.Error())
			continue
		}
		if err := n.addLink(e.link, e, e); err != nil {
			n.config.Log("network: " + e.link.name + ": " + err.String())
		} else if i == 0 && n.config.Static != "" {
			if err := e.static(n.config.Static); err != nil {
				n.config.Log("network: gosv.ip=" + n.config.Static + ": " + err.Error())
			}
		} else {
			client := &dhcpClient{dev: e, hostName: n.config.HostName, replies: make(chan dhcpMessage, 4)}
			waiting++
			told := false
			go client.run(func() {
				if !told {
					told = true
					ready <- struct{}{}
				}
			})
		}
		e.shorten()
		close(e.begun)
	}
	close(n.isAttached)
	if waiting > 0 { // the first that is configured will do
		select {
		case <-ready:
		case <-time.After(patience):
			n.config.Log("network: no DHCP server has answered yet")
		}
	}
	close(n.isConfigured)
}

// Attach adds a device. It is called while the machine's devices are looked for.
func (n *Network) Attach(d nic.Device) {
	n.mu.Lock()
	n.devices = append(n.devices, d)
	n.mu.Unlock()
}

// attached waits until the machine's devices are there.
func (n *Network) attached() { <-n.isAttached }

// configured waits until the devices have the addresses that they shall have.
func (n *Network) configured() { <-n.isConfigured }

// static takes ADDRESS/LENGTH[,ADDRESS/LENGTH...][,GATEWAY...][,dns=ADDRESS...].
func (e *device) static(s string) error {
	n := e.net
	for word := range strings.SplitSeq(s, ",") {
		if dns, ok := strings.CutPrefix(word, "dns="); ok {
			a, ok := parseIP(dns)
			if !ok {
				return fmt.Errorf("%s is not the address of a name server", word)
			}
			n.addDNS(a.String())
		} else if a, ok := parsePrefix(word); ok {
			if err := n.addAddress(e.link.index, a); err != nil {
				return fmt.Errorf("%s: %s", word, err)
			}
			if a.Address.Len() == header.IPv4AddressSize {
				e.announce(a.Address)
			}
		} else if a, ok := parseIP(word); ok {
			e.route(a)
		} else {
			return fmt.Errorf("%s is neither ADDRESS/LENGTH nor a gateway's address nor dns=ADDRESS", word)
		}
	}
	return nil
}

// route makes gateway the way to all that there is no other one to.
func (e *device) route(gateway tcpip.Address) {
	to := header.IPv4EmptySubnet
	if gateway.Len() == header.IPv6AddressSize {
		to = header.IPv6EmptySubnet
	}
	e.net.stack.AddRoute(tcpip.Route{Destination: to, Gateway: gateway, NIC: e.link.index})
}

// use configures the device as a DHCP server says.
func (e *device) use(m *dhcpMessage) {
	mask := tcpip.MaskFromBytes(m.mask[:])
	a := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(m.addr), PrefixLen: mask.Prefix()}
	if e.lease == a {
		return
	}
	if e.lease.Address.BitLen() != 0 {
		e.drop()
	}
	e.lease = a
	if m.mtu >= header.IPv4MinimumMTU && m.mtu < e.link.mtu {
		e.SetMTU(uint32(m.mtu))
		e.link.mtu = m.mtu
	}
	if err := e.net.addAddress(e.link.index, a); err != nil {
		e.net.config.Log("network: " + a.String() + ": " + err.String())
		return
	}
	e.announce(a.Address)
	if len(m.routers) > 0 {
		e.route(tcpip.AddrFrom4(m.routers[0]))
	}
	for _, dns := range m.dns {
		e.net.addDNS(tcpip.AddrFrom4(dns).String())
	}
	if m.domain != "" {
		e.net.mu.Lock()
		e.net.domain = m.domain
		e.net.mu.Unlock()
	}
}

// unuse ends a lease.
func (e *device) unuse() {
	if e.lease.Address.BitLen() != 0 {
		e.drop()
		e.lease = tcpip.AddressWithPrefix{}
	}
}

func (e *device) drop() {
	e.net.stack.RemoveAddress(e.link.index, e.lease.Address)
	e.net.stack.RemoveRoutes(func(r tcpip.Route) bool {
		to := r.Destination.ID()
		return r.NIC == e.link.index && to.Len() == header.IPv4AddressSize
	})
}

func (n *Network) addDNS(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.dns {
		if s == server {
			return
		}
	}
	const most = 8 // of which a C library asks three (resolv.conf(5))
	if len(n.dns) < most {
		n.dns = append(n.dns, server)
	}
}

// resolver is /proc/net/pnp, which is in the form of resolv.conf(5).
func (n *Network) resolver() string {
	n.configured()
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	if n.domain != "" {
		fmt.Fprintf(&b, "search %s\n", n.domain)
	}
	for _, s := range n.dns {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return b.String()
}

// ndp takes what routers announce of IPv6 (RFC 4861): it implements ipv6.NDPDispatcher.
type ndp struct{ net *Network }

func (d ndp) OnOffLinkRouteUpdated(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address, _ header.NDPRoutePreference) {
	d.OnOffLinkRouteInvalidated(id, to, router) // it may be the same with another preference
	d.net.stack.AddRoute(tcpip.Route{Destination: to, Gateway: router, NIC: id})
}

func (d ndp) OnOffLinkRouteInvalidated(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	d.net.stack.RemoveRoutes(func(r tcpip.Route) bool { return r.NIC == id && r.Destination.Equal(to) && r.Gateway == router })
}

func (d ndp) OnOnLinkPrefixDiscovered(id tcpip.NICID, prefix tcpip.Subnet) {
	d.net.stack.AddRoute(tcpip.Route{Destination: prefix, NIC: id})
}

func (d ndp) OnOnLinkPrefixInvalidated(id tcpip.NICID, prefix tcpip.Subnet) {
	d.net.stack.RemoveRoutes(func(r tcpip.Route) bool { return r.NIC == id && r.Destination.Equal(prefix) && r.Gateway.Len() == 0 })
}

func (d ndp) OnRecursiveDNSServerOption(id tcpip.NICID, servers []tcpip.Address, lifetime time.Duration) {
	for _, s := range servers {
		if lifetime > 0 && !header.IsV6LinkLocalUnicastAddress(s) {
			d.net.addDNS(s.String())
		}
	}
}

func (ndp) OnAutoGenAddress(tcpip.NICID, tcpip.AddressWithPrefix) stack.AddressDispatcher { return nil }
func (ndp) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix)               {}
func (ndp) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix)              {}
func (ndp) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}
func (ndp) OnDNSSearchListOption(tcpip.NICID, []string, time.Duration)                    {}
func (ndp) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA)          {}
