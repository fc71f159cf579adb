package network

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gosv/internal/echo"
)

// The guest answers the host.
func TestPingGuest(t *testing.T) {
	u, _ := connect(t, "udp-echo")
	i := Interfaces{User: u}
	var err error
	for range 10 { // until it is up
		if _, err = i.Ping(time.Second); err == nil {
			return
		}
	}
	t.Error(err)
}

// The gateway answers the guest, and so does a host of the Internet's, which is this one.
func TestPingOut(t *testing.T) {
	ask := []netip.Addr{Gateway}
	own, _ := net.InterfaceAddrs()
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !Guest.Contains(p.Addr()) {
			if _, err := hostPing(p.Addr(), 1, nil, time.Second); err == nil {
				ask = append(ask, p.Addr())
				break
			}
		}
	}
	for _, a := range ask {
		if _, cmd := connect(t, "ping "+a.String()); cmd.Wait() != nil {
			t.Errorf("%s does not answer the guest", a)
		}
	}
}

func TestHostPing(t *testing.T) {
	data := []byte("some data")
	got, err := hostPing(netip.MustParseAddr("127.0.0.1"), 7, data, 10*time.Second)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil || string(got) != string(data) {
		t.Errorf("%q, %v", got, err)
	}
	i := Interfaces{TAPs: []string{"tap0"}, Address: netip.MustParseAddr("127.0.0.1")}
	if took, err := i.Ping(10 * time.Second); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	i.Address = netip.MustParseAddr("192.0.2.254") // of nobody (RFC 5737)
	if _, err := i.Ping(10 * time.Millisecond); err == nil {
		t.Error("an address that nobody has answers")
	}
	i.Address = netip.Addr{}
	if _, err := i.Ping(time.Second); err == nil || errors.Is(err, echo.ErrNoAnswer) {
		t.Errorf("an address that is not known: %v", err)
	}
	if _, err := (&Interfaces{}).Ping(time.Second); err != ErrNone {
		t.Error(err)
	}
}
