package linux

import "gosv/kernel/fs/kernfs"

// What /proc/net, /proc/sys/net and /sys/class/net tell of the network: most of it is
// the Network's business, and not there without one.

// procNet is the directory /proc/PID/net.
func procNet(s *subject) kernfs.Directory {
	files := []procFile{{name: "unix", mode: procRead, read: unixTable}}
	if s.k.Network != nil {
		for _, name := range [...]string{"arp", "dev", "if_inet6", "ipv6_route", "pnp", "route", "tcp", "tcp6", "udp", "udp6"} {
			files = append(files, procFile{name: name, mode: procRead, read: func(s *subject, b *text) { b.str(s.k.Network.Table(name)) }})
		}
	}
	return &procTable{s, files}
}

// Values of net.ipv4 that programs read.
var sysctlIPv4 = [...]procFile{
	{name: "ip_local_port_range", mode: procRead, text: "32768\t60999\n"},
	{name: "ip_unprivileged_port_start", mode: procRead, text: "1024\n"},
	{name: "tcp_available_congestion_control", mode: procRead, text: "reno cubic\n"},
	{name: "tcp_congestion_control", mode: procRead, text: "cubic\n"},
	{name: "tcp_fastopen", mode: procRead, text: "1\n"},
	{name: "tcp_fin_timeout", mode: procRead, text: "60\n"},
	{name: "tcp_keepalive_intvl", mode: procRead, text: "75\n"},
	{name: "tcp_keepalive_probes", mode: procRead, text: "9\n"},
	{name: "tcp_keepalive_time", mode: procRead, text: "7200\n"},
	{name: "tcp_max_syn_backlog", mode: procRead, text: "4096\n"},
	{name: "tcp_rmem", mode: procRead, read: func(s *subject, b *text) { b.str(s.k.Network.Table("tcp_rmem")) }},
	{name: "tcp_wmem", mode: procRead, read: func(s *subject, b *text) { b.str(s.k.Network.Table("tcp_wmem")) }},
}

// sysctlNet is the directory /proc/sys/net.
func sysctlNet(s *subject) kernfs.Directory {
	files := []procFile{
		{name: "core", mode: procDir, files: []procFile{
			{name: "rmem_default", mode: procRead, text: "212992\n"},
			{name: "rmem_max", mode: procRead, text: "212992\n"},
			{name: "somaxconn", mode: procRead, text: "4096\n"},
			{name: "wmem_default", mode: procRead, text: "212992\n"},
			{name: "wmem_max", mode: procRead, text: "212992\n"},
		}},
		{name: "unix", mode: procDir, files: []procFile{{name: "max_dgram_qlen", mode: procRead, text: "10\n"}}},
	}
	if s.k.Network != nil {
		files = append(files, procFile{name: "ipv4", mode: procDir, files: sysctlIPv4[:]},
			procFile{name: "ipv6", mode: procDir, files: []procFile{{name: "bindv6only", mode: procRead, text: "0\n"}}})
	}
	return &procTable{s, files}
}

// Attributes of a network device.
var linkFiles = [...]string{"addr_len", "address", "broadcast", "carrier", "flags", "ifindex", "iflink", "mtu", "operstate", "tx_queue_len", "type"}
var linkStatistics = [...]string{"collisions", "multicast", "rx_bytes", "rx_dropped", "rx_errors", "rx_packets", "tx_bytes", "tx_dropped", "tx_errors", "tx_packets"}

// sysClassNet is the directory /sys/class/net.
func sysClassNet(s *subject) kernfs.Directory {
	var files []procFile
	if s.k.Network != nil {
		for _, link := range s.k.Network.Links() {
			attributes := append(linkAttributes(link, linkFiles[:]),
				procFile{name: "statistics", mode: procDir, files: linkAttributes(link, linkStatistics[:])})
			files = append(files, procFile{name: link, mode: procDir, files: attributes})
		}
	}
	return &procTable{s, files}
}

func linkAttributes(link string, names []string) (files []procFile) {
	for _, name := range names {
		files = append(files, procFile{name: name, mode: procRead, read: func(s *subject, b *text) { b.str(s.k.Network.Attribute(link, name)) }})
	}
	return files
}

// unixTable is /proc/net/unix: of sockets that have names.
func unixTable(sub *subject, b *text) {
	b.str("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for _, s := range sub.k.unix.All() {
		path, listens, connected := s.State()
		flags, state := uint64(0), uint64(1)
		switch {
		case listens:
			flags = 0x10000
		case connected:
			state = 3
		}
		b.str("0000000000000000: 00000002 00000000 ")
		b.hex(flags, 8)
		b.str(" ")
		b.hex(uint64(s.Kind), 4)
		b.str(" ")
		b.hex(state, 2)
		b.str(" ")
		b.num(s.Ino)
		b.str(" ")
		if path[0] == 0 {
			b.str("@")
			path = path[1:]
		} else {
			path = path[:len(path)-1]
		}
		for _, c := range path {
			if c == 0 {
				c = '@'
			}
			b.str(string(rune(c)))
		}
		b.str("\n")
	}
}
