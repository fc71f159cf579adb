package net

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"gosv/kernel/errno"
)

// isChecksum says whether an option is IPV6_CHECKSUM as one of SOL_RAW, which not all programs take for
// one of IPPROTO_IPV6.
func (e *endpoint) isChecksum(level, name int) bool {
	return level == unix.SOL_RAW && name == unix.IPV6_CHECKSUM && e.family == afInet6
}

// Which ICMP messages a raw socket does not take: a set of their types, ICMP_FILTER of SOL_RAW (raw(7)),
// which has those below 32, and ICMP6_FILTER of IPPROTO_ICMPV6 (RFC 3542 section 3.2).

const icmpFilter = 1 // both options' name

// icmpFilter returns the set as the program has it.
func (e *endpoint) icmpFilter(level, name int) ([]byte, errno.Errno) {
	protocol := int32(protoICMP)
	if level == unix.SOL_ICMPV6 {
		protocol = protoICMPv6
	}
	known := name == icmpFilter && e.family == afInet || level == unix.SOL_ICMPV6
	switch {
	case known && e.protocol != protocol:
		return nil, errno.EOPNOTSUPP
	case !known || name != icmpFilter:
		return nil, errno.ENOPROTOOPT
	case level == unix.SOL_RAW:
		return int32Of(int(icmpTypes(e.ep()).Load())), 0
	}
	var f tcpip.ICMPv6Filter
	failed := e.ep().GetSockOpt(&f)
	var b []byte
	for _, word := range f.DenyType {
		b = append(b, int32Of(int(word))...)
	}
	return b, errnoOf(failed)
}

// setICMPFilter sets it, or as much of it as v has.
func (e *endpoint) setICMPFilter(level, name int, v []byte) errno.Errno {
	b, err := e.icmpFilter(level, name)
	if err != 0 {
		return err
	}
	copy(b, v)
	if level == unix.SOL_RAW {
		icmpTypes(e.ep()).Store(le.Uint32(b))
		return 0
	}
	var f tcpip.ICMPv6Filter
	for i := range f.DenyType {
		f.DenyType[i] = le.Uint32(b[4*i:])
	}
	return errnoOf(e.ep().SetSockOpt(&f))
}
