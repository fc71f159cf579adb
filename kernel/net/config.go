package net

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
		l := &link{
			name:  fmt.Sprintf("eth%d", i),
			kind:  arphrdEther,
			flags: iffUp | iffBroadcast | iffMulticast,
			mtu:   d.MTU(),
			mac:   e.mac(),
			dev:   e,
		}
		if err := d.Start(e); err != nil {
			n.config.Log("network: " + l.name + ": " + err.Error())
			continue
		}
		if err := n.addLink(l, e, e); err != nil {
			n.config.Log("network: " + l.name + ": " + err.String())
		} else if e.shorten(); i == 0 && n.config.Static != "" {
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

// static takes ADDRESS/LENGTH[,ADDRESS/LENGTH...][,GATEWAY...][,dns=ADDRESS...]. Whoever says that has seen to
// it that nobody else has the address, so over IPv6 nobody is asked for a second, in which the program could not use it.
func (e *device) static(s string) error {
	n := e.net
	n.detectDuplicates(e.index, 0)
	defer n.detectDuplicates(e.index, 1)
	for word := range strings.SplitSeq(s, ",") {
		if dns, ok := strings.CutPrefix(word, "dns="); ok {
			a, ok := parseIP(dns)
			if !ok {
				return fmt.Errorf("%s is not the address of a name server", word)
			}
			n.addDNS(a.String())
		} else if a, ok := parsePrefix(word); ok {
			if err := e.assign(a).errno; err != 0 {
				return fmt.Errorf("%s: %v", word, err)
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

// detectDuplicates says how often a device asks whether somebody has an IPv6 address already that it gets (RFC 4862
// section 5.4).
func (n *Network) detectDuplicates(id tcpip.NICID, times uint8) {
	v6, err := n.stack.GetNetworkEndpoint(id, ipv6.ProtocolNumber)
	if d, ok := v6.(stack.DuplicateAddressDetector); err == nil && ok {
		d.SetDADConfigurations(stack.DADConfigurations{DupAddrDetectTransmits: times, RetransmitTimer: time.Second})
	}
}

// route makes gateway the way to all that there is no other one to.
func (e *device) route(gateway tcpip.Address) {
	r := route{link: e.index, gateway: gateway, table: unix.RT_TABLE_MAIN, protocol: unix.RTPROT_BOOT, kind: unix.RTN_UNICAST}
	r.to.Address = header.IPv4Any
	if gateway.Len() == header.IPv6AddressSize {
		r.to.Address, r.metric = header.IPv6Any, metricUser
	}
	e.net.addRoute(r, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	e.net.installAll()
}

// assign gives the device an address, with the one of all in its network.
func (e *device) assign(p tcpip.AddressWithPrefix) refusal {
	a := newAddress(e.net.link(e.index), p)
	if a.v4() {
		a.broadcast = broadcastOf(a)
	}
	return e.net.addAddress(a)
}

// use configures the device as a DHCP server says.
func (e *device) use(m *dhcpMessage) {
	mask := tcpip.MaskFromBytes(m.mask[:])
	p := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(m.addr), PrefixLen: mask.Prefix()}
	n := e.net
	n.rtnl.Lock()
	defer n.rtnl.Unlock()
	if e.taken() || e.lease != nil && e.lease.AddressWithPrefix == p {
		return
	}
	e.drop()
	l := n.link(e.index)
	if m.mtu >= header.IPv4MinimumMTU && m.mtu < l.mtu {
		n.setMTU(l, uint32(m.mtu))
	}
	if err := e.assign(p).errno; err != 0 {
		n.config.Log("network: " + p.String() + ": " + err.Error())
		return
	}
	e.lease, e.leased = n.findAddress(e.index, p.Address), true
	e.announce(p.Address)
	if len(m.routers) > 0 {
		e.route(tcpip.AddrFrom4(m.routers[0]))
	}
	for _, dns := range m.dns {
		n.addDNS(tcpip.AddrFrom4(dns).String())
	}
	if m.domain != "" {
		n.mu.Lock()
		n.domain = m.domain
		n.mu.Unlock()
	}
}

// unuse ends a lease.
func (e *device) unuse() {
	e.net.rtnl.Lock()
	defer e.net.rtnl.Unlock()
	e.drop()
}

// drop removes what a lease has brought.
func (e *device) drop() {
	if e.lease != nil {
		if a := e.net.findAddress(e.index, e.lease.Address); a != nil {
			e.net.removeAddress(a)
		}
	}
	e.lease = nil
}

// others says whether the program configures IPv4 of the device itself.
func (e *device) others() bool {
	e.net.rtnl.Lock()
	defer e.net.rtnl.Unlock()
	return e.taken()
}

// taken says so, too, while n.rtnl is held: the program has removed the lease's address, or brought
// one before there was any lease.
func (e *device) taken() bool {
	if e.lease != nil {
		return e.net.findAddress(e.index, e.lease.Address) == nil
	}
	list := e.net.addresses(e.index)
	return !e.leased && len(list) > 0 && list[0].v4()
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
	d.route(id, to, router, true)
}

func (d ndp) OnOffLinkRouteInvalidated(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	d.route(id, to, router, false)
}

func (d ndp) OnOnLinkPrefixDiscovered(id tcpip.NICID, prefix tcpip.Subnet) {
	d.route(id, prefix, tcpip.Address{}, true)
}

func (d ndp) OnOnLinkPrefixInvalidated(id tcpip.NICID, prefix tcpip.Subnet) {
	d.route(id, prefix, tcpip.Address{}, false)
}

// route adds or removes a route that a router has announced: it may be there with another
// preference. Netstack's locks are held.
func (d ndp) route(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address, add bool) {
	r := route{to: tcpip.AddressWithPrefix{Address: to.ID(), PrefixLen: to.Prefix()}, link: id, gateway: router, metric: metricKernel,
		table: unix.RT_TABLE_MAIN, protocol: unix.RTPROT_KERNEL, kind: unix.RTN_UNICAST}
	if router.Len() != 0 {
		r.metric, r.protocol = metricUser, unix.RTPROT_RA
	}
	if add {
		d.net.addRoute(r, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	} else {
		d.net.removeRoutes(true, func(o *route) bool { return *o == r })
	}
	d.net.installLater()
}

func (d ndp) OnRecursiveDNSServerOption(id tcpip.NICID, servers []tcpip.Address, lifetime time.Duration) {
	for _, s := range servers {
		if lifetime > 0 && !header.IsV6LinkLocalUnicastAddress(s) {
			d.net.addDNS(s.String())
		}
	}
}

func (ndp) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix)               {}
func (ndp) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix)              {}
func (ndp) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}
func (ndp) OnDNSSearchListOption(tcpip.NICID, []string, time.Duration)                    {}
func (ndp) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA)          {}
