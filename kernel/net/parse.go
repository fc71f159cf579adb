package net

import (
	"strconv"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// parseIP reads an address of IPv4, as four decimal numbers, or of IPv6 (RFC 4291 section 2.2). It
// is netip.ParseAddr without zones; package netip has maps of them, which cost the start of
// the network 10,000 instructions.
func parseIP(s string) (tcpip.Address, bool) {
	if ip, ok := parse4(s); ok {
		return tcpip.AddrFrom4(ip), true
	}
	var ip [16]byte
	n, gap := 0, -1 // how many bytes there are, and how many before ::
	s, ok := strings.CutPrefix(s, "::")
	if ok {
		gap = 0
	}
	for s != "" {
		group, rest, more := strings.Cut(s, ":")
		if v4, ok := parse4(group); ok && !more && n <= 12 {
			n += copy(ip[n:], v4[:])
			break
		}
		v, err := strconv.ParseUint(group, 16, 16)
		if err != nil || len(group) > 4 || n == len(ip) || more && rest == "" {
			return tcpip.Address{}, false
		}
		ip[n], ip[n+1] = byte(v>>8), byte(v)
		n += 2
		if s, ok = strings.CutPrefix(rest, ":"); ok {
			if gap >= 0 {
				return tcpip.Address{}, false
			}
			gap = n
		}
	}
	if (gap < 0) != (n == len(ip)) {
		return tcpip.Address{}, false
	}
	if gap >= 0 {
		behind := copy(ip[len(ip)-(n-gap):], ip[gap:n])
		clear(ip[gap : len(ip)-behind])
	}
	return tcpip.AddrFrom16(ip), true
}

func parse4(s string) (ip [4]byte, ok bool) {
	for i := range ip {
		number, rest, more := strings.Cut(s, ".")
		v, err := strconv.ParseUint(number, 10, 8)
		if err != nil || number != strconv.Itoa(int(v)) || more == (i == len(ip)-1) {
			return ip, false
		}
		ip[i], s = byte(v), rest
	}
	return ip, true
}

// parsePrefix reads ADDRESS/LENGTH.
func parsePrefix(s string) (a tcpip.AddressWithPrefix, ok bool) {
	addr, length, _ := strings.Cut(s, "/")
	a.Address, ok = parseIP(addr)
	n, err := strconv.ParseUint(length, 10, 8)
	a.PrefixLen = int(n)
	return a, ok && err == nil && a.PrefixLen <= a.Address.BitLen() && length == strconv.Itoa(a.PrefixLen)
}
