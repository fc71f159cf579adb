//go:build netstack

package net

import (
	"bytes"
	"net/netip"
	"testing"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// openRaw returns a raw socket that is connected to addr.
func openRaw(t *testing.T, n *Network, family, protocol int32, addr string) *user {
	s := &user{t: t, woken: make(chan bool, 1)}
	e, err := n.newEndpoint(family, sockRaw, protocol, 1, s.wake)
	if err != 0 {
		t.Fatal(err)
	}
	s.Endpoint = e
	a := netip.MustParseAddr(addr)
	b := addr4Of(0, 0, 0, 0, 0)
	if family == afInet6 {
		b = make([]byte, 28)
		copy(b[8:], a.AsSlice())
	} else {
		copy(b[4:], a.AsSlice())
	}
	b[0] = byte(family)
	if err := s.Connect(b); err != 0 {
		t.Fatal(err)
	}
	return s
}

// TestRaw: packets of protocols that only raw sockets know, and of ICMP, go from one machine to another, in fragments
// if they are long.
func TestRaw(t *testing.T) {
	a, b := newCable(1), newCable(2)
	a.send, b.send = b.receive, a.receive
	server, client := start(t, "10.0.0.1/24,fd00::1/64", a), start(t, "10.0.0.2/24,fd00::2/64", b)
	for _, network := range []struct {
		family       int32
		near, far    string
		header, most int
		icmp         int32
		type_        byte
	}{
		{afInet, "10.0.0.1", "10.0.0.2", 20, 65515, protoICMP, 200},
		{afInet6, "fd00::1", "fd00::2", 0, 65535, protoICMPv6, 200},
	} {
		for _, protocol := range []int32{132, 253, network.icmp} {
			s, c := openRaw(t, server, network.family, protocol, network.far), openRaw(t, client, network.family, protocol, network.near)
			for _, size := range []int{8, 1400, 3000, network.most} {
				data := bytes.Repeat([]byte{network.type_}, size)
				if err := c.await(func() errno.Errno {
					_, err := c.Send(&socket.Message{Data: &memory{data}})
					return err
				}); err != 0 {
					t.Fatalf("protocol %d, %d bytes: %v", protocol, size, err)
				}
				got, n := make([]byte, 1<<17), 0
				if err := s.await(func() (err errno.Errno) {
					n, err = s.Receive(&socket.Message{Data: &memory{got}})
					return err
				}); err != 0 {
					t.Fatal(err)
				}
				if got = got[network.header:max(n, network.header)]; protocol == protoICMPv6 { // has got a checksum
					copy(got[2:4], data)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("protocol %d: %d bytes, want %d", protocol, len(got), size)
				}
			}
			if _, err := c.Send(&socket.Message{Data: &memory{make([]byte, network.most+1)}}); err != errno.EMSGSIZE {
				t.Errorf("too long: %v", err)
			}
			s.Close()
			c.Close()
		}
	}
}
