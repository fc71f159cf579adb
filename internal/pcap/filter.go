package pcap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Filter says whether a packet is wanted.
type Filter func(p *Packet) bool

// ParseFilter reads the most usual part of tcpdump's expressions (man 7 pcap-filter):
//
//	ip, ip6, arp, tcp, udp, icmp, icmp6
//	[tcp|udp] [src|dst] port N
//	[src|dst] host ADDRESS, [src|dst] net ADDRESS/LENGTH, src|dst ADDRESS
//	and, or, not, parentheses
//
// As there, and and or bind alike, from left to right. The empty one wants all.
func ParseFilter(words []string) (Filter, error) {
	text := strings.NewReplacer("(", " ( ", ")", " ) ", "!", " ! ", "&&", " && ", "||", " || ").Replace(strings.Join(words, " "))
	f := filterParser{words: strings.Fields(text)}
	if len(f.words) == 0 {
		return func(*Packet) bool { return true }, nil
	}
	test, err := f.expression()
	if err == nil && len(f.words) > 0 {
		err = fmt.Errorf("%q is too much", f.words[0])
	}
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", strings.Join(words, " "), err)
	}
	return func(p *Packet) bool {
		d := decode(p)
		return test(&d)
	}, nil
}

type test func(d *decoded) bool

type filterParser struct{ words []string }

// next takes the next word if it is one of these, or any if there are none.
func (f *filterParser) next(of ...string) (string, bool) {
	if len(f.words) == 0 {
		return "", false
	}
	w := f.words[0]
	ok := len(of) == 0
	for _, o := range of {
		ok = ok || w == o
	}
	if ok {
		f.words = f.words[1:]
	}
	return w, ok
}

func (f *filterParser) expression() (test, error) {
	left, err := f.factor()
	for err == nil {
		op, ok := f.next("and", "&&", "or", "||")
		if !ok {
			return left, nil
		}
		var right test
		if right, err = f.factor(); err != nil {
			break
		}
		a := left
		if op == "and" || op == "&&" {
			left = func(d *decoded) bool { return a(d) && right(d) }
		} else {
			left = func(d *decoded) bool { return a(d) || right(d) }
		}
	}
	return nil, err
}

func (f *filterParser) factor() (test, error) {
	if _, ok := f.next("not", "!"); ok {
		t, err := f.factor()
		return func(d *decoded) bool { return !t(d) }, err
	}
	if _, ok := f.next("("); ok {
		t, err := f.expression()
		if err != nil {
			return nil, err
		}
		if _, ok := f.next(")"); !ok {
			return nil, fmt.Errorf("a parenthesis is not closed")
		}
		return t, nil
	}
	return f.primitive()
}

var networks = map[string]tcpip.NetworkProtocolNumber{"ip": header.IPv4ProtocolNumber, "ip6": header.IPv6ProtocolNumber, "arp": header.ARPProtocolNumber}

var transports = map[string]tcpip.TransportProtocolNumber{"tcp": header.TCPProtocolNumber, "udp": header.UDPProtocolNumber,
	"icmp": header.ICMPv4ProtocolNumber, "icmp6": header.ICMPv6ProtocolNumber}

// primitive is a protocol, or a port, host or net, perhaps of a protocol and a direction.
func (f *filterParser) primitive() (test, error) {
	protocol := test(nil)
	if len(f.words) > 0 {
		if n, ok := networks[f.words[0]]; ok {
			protocol = func(d *decoded) bool { return d.kind == n }
		} else if n, ok := transports[f.words[0]]; ok {
			protocol = func(d *decoded) bool { return d.kind != header.ARPProtocolNumber && d.proto == n }
		}
		if protocol != nil {
			f.words = f.words[1:]
		}
	}
	direction, directed := f.next("src", "dst")
	src, dst := !directed || direction == "src", !directed || direction == "dst"
	kind, ok := f.next("port", "host", "net")
	if !ok && directed && len(f.words) > 0 {
		kind, ok = "host", true
	}
	if !ok {
		if protocol != nil && !directed {
			return protocol, nil
		}
		if len(f.words) == 0 {
			return nil, fmt.Errorf("it is not complete")
		}
		return nil, fmt.Errorf("%q is not known: there are ip, ip6, arp, tcp, udp, icmp, icmp6, [src|dst] host, net and port, and, or, not", f.words[0])
	}
	what, ok := f.next()
	if !ok {
		return nil, fmt.Errorf("%s of what?", kind)
	}
	t, err := either(kind, what, src, dst)
	if err != nil || protocol == nil {
		return t, err
	}
	return func(d *decoded) bool { return protocol(d) && t(d) }, nil
}

func either(kind, what string, src, dst bool) (test, error) {
	if kind == "port" {
		n, err := strconv.ParseUint(what, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is no number of a port", what)
		}
		port := uint16(n)
		return func(d *decoded) bool { return d.hasPorts && (src && d.srcPort == port || dst && d.dstPort == port) }, nil
	}
	var net netip.Prefix
	a, err := netip.ParseAddr(what)
	if err == nil {
		net = netip.PrefixFrom(a, a.BitLen())
	}
	if kind == "net" && err != nil {
		net, err = netip.ParsePrefix(what)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no address", what)
	}
	return func(d *decoded) bool { return src && net.Contains(d.src) || dst && net.Contains(d.dst) }, nil
}
