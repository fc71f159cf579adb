package net

import (
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
)

// route is one as Linux has it: more than netstack's, which are made of them. It is never changed.
type route struct {
	to       tcpip.AddressWithPrefix
	link     tcpip.NICID
	gateway  tcpip.Address
	source   tcpip.Address // RTA_PREFSRC
	metric   uint32        // RTA_PRIORITY
	mtu      uint32        // RTAX_MTU
	flags    uint32        // RTNH_F_ONLINK
	table    uint8         // RT_TABLE_MAIN, or RT_TABLE_LOCAL for lo
	protocol uint8         // RTPROT_ ...: who has made it
	scope    uint8         // RT_SCOPE_ ...
	kind     uint8         // RTN_ ...
	tos      uint8
}

// Metrics that IPv6's routes have unless something else is said: the kernel's, and others.
const (
	metricKernel = 256
	metricUser   = 1024
)

func (r *route) v4() bool { return r.to.Address.Len() == header.IPv4AddressSize }

// sameKey says whether two routes compete: the one with the lower metric is taken.
func (r *route) sameKey(o *route) bool { return r.to == o.to && r.table == o.table && r.tos == o.tos }

// before says whether r comes before o where all are listed: IPv4's by address and the more specific
// first, IPv6's each before what contains it.
func (r *route) before(o *route) bool {
	a, b := r.to, o.to
	if a.Address.Len() != b.Address.Len() {
		return a.Address.Len() < b.Address.Len()
	}
	if a == b {
		switch {
		case r.table != o.table:
			return r.table < o.table
		case r.tos != o.tos:
			return r.tos > o.tos
		}
		return r.metric < o.metric
	}
	if !r.v4() {
		if contains(b, a.Address) && a.PrefixLen > b.PrefixLen {
			return true
		}
		if contains(a, b.Address) && a.PrefixLen < b.PrefixLen {
			return false
		}
	}
	if a.Address != b.Address {
		return string(a.Address.AsSlice()) < string(b.Address.AsSlice())
	}
	return a.PrefixLen > b.PrefixLen
}

// routes returns all of them, in the order in which they are listed.
func (n *Network) routes() []*route {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fib
}

// addRoute adds a route as a request of RTM_NEWROUTE with these flags does (man 7 rtnetlink, man 8
// ip-route). Installing it is the caller's.
func (n *Network) addRoute(r route, flags uint16) refusal {
	no, how := n.insertRoute(&r, flags)
	if how != 0 {
		n.tellRoute(unix.RTM_NEWROUTE, &r, how)
	}
	return no
}

// insertRoute returns the flags with which others are told of it, 0 if it is not there, or was.
func (n *Network) insertRoute(r *route, flags uint16) (no refusal, how uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first, end := -1, 0 // those with the same key and metric
	same := -1          // and all else
	for i, o := range n.fib {
		if o.before(r) {
			end = i + 1
			continue
		}
		if !o.sameKey(r) || o.metric != r.metric {
			break
		}
		if first < 0 {
			first = i
		}
		if *o == *r || !r.v4() && o.link == r.link && o.gateway == r.gateway && o.kind == r.kind {
			same = i
		}
		end = i + 1
	}
	list := slices.Clone(n.fib)
	switch {
	case first < 0 && flags&unix.NLM_F_CREATE == 0 && (r.v4() || flags&unix.NLM_F_REPLACE != 0):
		return refusal{errno.ENOENT, ""}, 0
	case first >= 0 && flags&unix.NLM_F_EXCL != 0:
		return refusal{errno.EEXIST, ""}, 0
	case first >= 0 && flags&unix.NLM_F_REPLACE != 0:
		if same == first && r.v4() {
			return refusal{}, 0
		} else if same >= 0 && r.v4() {
			return refusal{errno.EEXIST, ""}, 0
		}
		how = unix.NLM_F_REPLACE
		list[first] = r
	case same >= 0:
		return refusal{errno.EEXIST, ""}, 0
	case first >= 0 && flags&unix.NLM_F_APPEND == 0 && r.v4():
		how = unix.NLM_F_CREATE
		list = slices.Insert(list, first, r)
	default:
		how = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		if first >= 0 {
			how = unix.NLM_F_CREATE | unix.NLM_F_APPEND
		}
		list = slices.Insert(list, end, r)
	}
	n.fib = list
	return refusal{}, how
}

// removeRoutes removes all that f is true for. If told is set, others are told of it; of IPv6's
// they always are.
func (n *Network) removeRoutes(told bool, f func(r *route) bool) {
	var gone []*route
	n.mu.Lock()
	list := make([]*route, 0, len(n.fib))
	for _, r := range n.fib {
		if f(r) {
			gone = append(gone, r)
		} else {
			list = append(list, r)
		}
	}
	n.fib = list
	n.mu.Unlock()
	for _, r := range gone {
		if told || !r.v4() {
			n.tellRoute(unix.RTM_DELROUTE, r, 0)
		}
	}
}

// lookup returns the route that leads to an address, nil if there is none: of device id, if that is not 0, and of at
// least that scope.
func (n *Network) lookup(to tcpip.Address, id tcpip.NICID, scope uint8) (best *route) {
	for _, r := range n.routes() {
		if contains(r.to, to) && r.scope >= scope && (id == 0 || r.link == id) && (best == nil || r.to.PrefixLen > best.to.PrefixLen) {
			best = r
		}
	}
	return best
}

// checkRoute completes a route that a program wants, if it is one that can be.
func (n *Network) checkRoute(r *route) refusal {
	if r.to != prefix(r.to.Address, r.to.PrefixLen) {
		if r.v4() {
			return refusal{errno.EINVAL, "Invalid prefix for given prefix length"}
		}
		r.to = prefix(r.to.Address, r.to.PrefixLen)
	}
	if r.kind != unix.RTN_UNICAST {
		return refusal{errno.EOPNOTSUPP, "Only unicast routes are supported"}
	}
	if r.table != unix.RT_TABLE_MAIN {
		return refusal{errno.EOPNOTSUPP, "Only the table main is supported"}
	}
	if n.supply() != enough {
		return refusal{errno.ENOBUFS, ""}
	}
	check := n.checkHop6
	if r.v4() {
		check = n.checkHop4
	}
	if no := check(r); no.errno != 0 {
		return no
	}
	if r.source.Len() != 0 && (r.source.Len() != r.to.Address.Len() || n.owner(r.source) == nil) {
		if r.v4() {
			return refusal{errno.EINVAL, "Invalid prefsrc address"}
		}
		return refusal{errno.EINVAL, "Invalid source address"}
	}
	return refusal{}
}

// checkHop4 checks where an IPv4 route leads first, as fib_check_nh does.
func (n *Network) checkHop4(r *route) refusal {
	l := n.link(r.link)
	switch {
	case r.scope > unix.RT_SCOPE_HOST:
		return refusal{errno.EINVAL, "Invalid scope"}
	case r.link != 0 && l == nil:
		return refusal{errno.ENODEV, ""}
	case r.scope == unix.RT_SCOPE_HOST && r.gateway.Len() != 0:
		return refusal{errno.EINVAL, "Route with host scope can not have a gateway"}
	case r.gateway.Len() == 0 && r.flags&unix.RTNH_F_ONLINK != 0:
		return refusal{errno.EINVAL, "Invalid flags for nexthop - PERVASIVE and ONLINK can not be set"}
	case r.gateway.Len() == 0 && l == nil:
		return refusal{errno.ENODEV, ""}
	case r.gateway.Len() == 0 && !l.up():
		return refusal{errno.ENETDOWN, "Device for nexthop is not up"}
	case r.gateway.Len() == 0:
		return refusal{}
	case r.flags&unix.RTNH_F_ONLINK != 0:
		switch {
		case r.scope >= unix.RT_SCOPE_LINK:
			return refusal{errno.EINVAL, "Nexthop has invalid scope"}
		case l == nil:
			return refusal{errno.ENODEV, "Nexthop device required for onlink"}
		case !l.up():
			return refusal{errno.ENETDOWN, "Nexthop device is not up"}
		case isMulticast(r.gateway) || n.owner(r.gateway) != nil:
			return refusal{errno.EINVAL, "Nexthop has invalid gateway"}
		}
		return refusal{}
	}
	if a := n.owner(r.gateway); a != nil && (r.link == 0 || r.link == a.link) {
		r.link = a.link
		return refusal{}
	}
	way := n.lookup(r.gateway, r.link, max(r.scope+1, unix.RT_SCOPE_LINK))
	if way == nil {
		return refusal{errno.ENETUNREACH, "Nexthop has invalid gateway"}
	}
	r.link = way.link
	if l := n.link(r.link); !l.up() {
		return refusal{errno.ENETDOWN, "Nexthop device is not up"}
	}
	return refusal{}
}

// checkHop6 does so for IPv6, as ip6_route_info_create does.
func (n *Network) checkHop6(r *route) refusal {
	l := n.link(r.link)
	local := header.IsV6LinkLocalUnicastAddress(r.gateway)
	switch {
	case r.link != 0 && l == nil:
		return refusal{errno.ENODEV, ""}
	case r.flags&unix.RTNH_F_ONLINK != 0 && l == nil:
		return refusal{errno.EINVAL, "Nexthop device required for onlink"}
	case r.gateway.Len() == 0 && l == nil:
		return refusal{errno.ENODEV, ""}
	case r.gateway.Len() == 0 && !l.up():
		return refusal{errno.ENETDOWN, "Nexthop device is not up"}
	case r.gateway.Len() == 0:
		return refusal{}
	case isMulticast(r.gateway):
		return refusal{errno.EINVAL, "Invalid gateway address"}
	case local && l == nil:
		return refusal{errno.EINVAL, "Nexthop device required for link-local gateway"}
	}
	if a := n.owner(r.gateway); a != nil && (l == nil || a.link == r.link) {
		return refusal{errno.EINVAL, "Gateway can not be a local address"}
	}
	if !local && r.flags&unix.RTNH_F_ONLINK == 0 {
		way := n.lookup(r.gateway, r.link, 0)
		if way == nil || way.gateway.Len() != 0 {
			return refusal{errno.EHOSTUNREACH, "Nexthop has invalid gateway"}
		}
		r.link = way.link
		l = n.link(way.link)
	}
	switch {
	case l.lo():
		return refusal{errno.EHOSTUNREACH, "Nexthop has invalid gateway"}
	case !l.up():
		return refusal{errno.ENETDOWN, "Nexthop device is not up"}
	}
	return refusal{}
}

// changeRoute adds a route that a program wants. The caller holds n.rtnl.
func (n *Network) changeRoute(r route, flags uint16) refusal {
	if no := n.checkRoute(&r); no.errno != 0 {
		return no
	}
	no := n.addRoute(r, flags)
	if no.errno == 0 {
		n.install(&r, func(addresses []*address) {
			to := r.netstack(addresses)
			n.stack.ReplaceRoute(to) // of the same device
			n.stack.RemoveRoutes(func(o tcpip.Route) bool { return o.Destination == to.Destination && o.NIC != to.NIC })
		})
	}
	return no
}

// deleteRoute deletes the first route that w describes: what is 0 or none of w says nothing, and so
// does the scope RT_SCOPE_NOWHERE. The caller holds n.rtnl.
func (n *Network) deleteRoute(w route) refusal {
	found := false
	n.removeRoutes(true, func(r *route) bool {
		if found || r.to != w.to || r.table != w.table || r.tos != w.tos && w.v4() ||
			w.kind != 0 && r.kind != w.kind || w.v4() && w.scope != unix.RT_SCOPE_NOWHERE && r.scope != w.scope ||
			w.source.Len() != 0 && r.source != w.source || w.protocol != 0 && r.protocol != w.protocol ||
			w.metric != 0 && r.metric != w.metric || w.link != 0 && r.link != w.link || w.gateway.Len() != 0 && r.gateway != w.gateway {
			return false
		}
		found = true
		return true
	})
	if !found {
		return refusal{errno.ESRCH, ""}
	}
	n.install(&w, func([]*address) {
		n.stack.RemoveRoutes(func(r tcpip.Route) bool { return r.Destination == w.to.Subnet() })
	})
	return refusal{}
}

// tellRoute tells others of a route that has come or gone.
func (n *Network) tellRoute(kind uint16, r *route, flags uint16) {
	group := uint32(unix.RTNLGRP_IPV6_ROUTE)
	if r.v4() {
		group = unix.RTNLGRP_IPV4_ROUTE
	}
	n.tell(group, func(m *answer) {
		m.flags = flags
		m.route(kind, r)
	})
}

// installAll gives netstack the routes: the least specific first, since it puts each before
// those, and of equal ones the one with the lowest metric.
func (n *Network) installAll() {
	n.installing.Lock()
	defer n.installing.Unlock()
	n.setTable()
}

// install does for one that has come or gone only what alone changes, unless others compete with it:
// where there are many, all of them take their time.
func (n *Network) install(r *route, alone func(addresses []*address)) {
	n.installing.Lock()
	defer n.installing.Unlock()
	others := 0
	for _, o := range n.routes() {
		if o.to == r.to && *o != *r {
			others++
		}
	}
	if others > 0 {
		n.setTable()
		return
	}
	alone(n.addressList())
}

// setTable is for installAll and install; n.installing is held.
func (n *Network) setTable() {
	fib, addresses := n.routes(), n.addressList()
	table := make([]tcpip.Route, 0, len(fib))
	for _, r := range fib {
		i := len(table)
		for i > 0 && table[i-1].Destination.Prefix() > r.to.PrefixLen { // package slices has 10 KB for it
			i--
		}
		table = slices.Insert(table, i, r.netstack(addresses))
	}
	n.stack.SetRouteTable(table)
}

// installLater does that when the caller's locks are not held any more.
func (n *Network) installLater() { go n.installAll() }

// netstack is r as netstack has it.
func (r *route) netstack(addresses []*address) tcpip.Route {
	return tcpip.Route{Destination: r.to.Subnet(), Gateway: r.gateway, NIC: r.link, MTU: r.mtu, SourceHint: r.from(addresses)}
}

// from is the address that what takes r comes from unless its sender has another: the one that r
// says, or the first that has the gateway in its network.
func (r *route) from(list []*address) tcpip.Address {
	if r.source.Len() != 0 {
		return r.source
	}
	next := r.gateway
	if next.Len() == 0 {
		next = r.to.Address
	}
	var first *address
	for _, a := range list {
		if a.link != r.link || !a.v4() || !r.v4() || a.secondary() {
			continue
		}
		if contains(a.network(), next) {
			return a.Address
		}
		if first == nil {
			first = a
		}
	}
	if first != nil {
		return first.Address
	}
	return tcpip.Address{}
}
