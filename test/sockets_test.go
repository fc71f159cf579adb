package test

import (
	"strings"
	"testing"
)

// TestSockets: pairs of Unix sockets, of all kinds.
func TestSockets(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "sockets"))
	same(t, options{flags: []string{"-c", "4"}}, cProgram(t, musl, "sockets"))
}

// TestUnixNames: Unix sockets with names.
func TestUnixNames(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "unixnames"))
}

// TestUnixUrgent: urgent data of Unix sockets.
func TestUnixUrgent(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "unixurgent"))
}

// TestInet: TCP and UDP over the loopback device, IPv4 and IPv6.
func TestInet(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "inet"))
	same(t, options{flags: []string{"--net", "lo", "-c", "2"}}, cProgram(t, glibc, "inet"))
}

// TestFastOpen: TCP Fast Open's calls, where no server takes data early.
func TestFastOpen(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "fastopen"))
}

// TestUrgent: TCP's urgent data, and what sockets' owners are told of them.
func TestUrgent(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "urgent"))
}

// TestRaw: raw sockets.
func TestRaw(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "raw"))
}

// TestFilters: classic BPF on sockets of all families.
func TestFilters(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "filters"))
}

// TestLinger: what close waits for, and for how long.
func TestLinger(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "linger"))
}

// TestFreebind: sockets bound to addresses that the machine has not.
func TestFreebind(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "freebind"))
}

// TestZerocopy: MSG_ZEROCOPY, which is told to have been copied.
func TestZerocopy(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "zerocopy"))
}

// TestUDPSegment: datagrams that the kernel cuts, as QUIC has it do.
func TestUDPSegment(t *testing.T) {
	t.Parallel()
	same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, glibc, "udpsegment"))
}

// TestInterfaces: what programs and both C libraries find out about network devices.
func TestInterfaces(t *testing.T) {
	t.Parallel()
	for _, c := range []libc{glibc, musl} {
		same(t, options{flags: []string{"--net", "lo"}}, cProgram(t, c, "ifaces"))
	}
}

// TestPackets: raw sockets, ICMP errors and multicast groups; and pings, which the host
// may refuse.
func TestPackets(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "packets")
	same(t, options{flags: []string{"--net", "lo"}}, prog)
	r := run(t, microvm, options{flags: []string{"--net", "lo"}}, prog, "ping")
	for _, want := range []string{"type 0 code 0 sequence 7 pinging, from 127.0.0.1\n", "type 129\n", "send(s, &m, 3, 0): EINVAL\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s%s", want, r.stdout, r.stderr)
		}
	}
}
