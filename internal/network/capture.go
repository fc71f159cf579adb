package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Capture is given each frame as it is on the wire, in parts, and may not keep them. It
// may be called by several goroutines at once.
type Capture func(at time.Time, size int, parts ...[]byte)

// captured is a link whose frames are shown to who captures. It lies above the one that
// knows of Ethernet's headers. Of the guest's questions for addresses (ARP) it lets only
// those through that are for ours: the stack would take any address for its own.
type captured struct {
	nested.Endpoint
	heard    chan struct{}              // closed when the guest has sent a first frame
	first    sync.Once                  // closes it
	captures atomic.Pointer[[]*Capture] // nil while there are none
	mu       sync.Mutex                 // held to change captures
}

func newCaptured(link stack.LinkEndpoint) *captured {
	c := &captured{heard: make(chan struct{})}
	c.Init(link, c)
	return c
}

// capture shows frames to f until stop is called.
func (c *captured) capture(f Capture) (stop func()) {
	set := func(change func([]*Capture) []*Capture) {
		c.mu.Lock()
		defer c.mu.Unlock()
		var now []*Capture
		if p := c.captures.Load(); p != nil {
			now = slices.Clone(*p)
		}
		if now = change(now); len(now) == 0 {
			c.captures.Store(nil)
			return
		}
		c.captures.Store(&now)
	}
	set(func(l []*Capture) []*Capture { return append(l, &f) })
	return func() {
		set(func(l []*Capture) []*Capture { return slices.DeleteFunc(l, func(o *Capture) bool { return o == &f }) })
	}
}

func (c *captured) show(p *stack.PacketBuffer) {
	if all := c.captures.Load(); all != nil {
		now, parts, size := time.Now(), p.AsSlices(), p.Size()
		for _, f := range *all {
			(*f)(now, size, parts...)
		}
	}
}

// DeliverNetworkPacket implements stack.NetworkDispatcher.
func (c *captured) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	c.first.Do(func() { close(c.heard) })
	c.show(p)
	if protocol == header.ARPProtocolNumber {
		b, ok := p.Data().PullUp(header.ARPSize)
		if !ok {
			return
		}
		if a, _ := netip.AddrFromSlice(header.ARP(b).ProtocolAddressTarget()); a != Gateway && a != NameServer {
			return
		}
	}
	c.Endpoint.DeliverNetworkPacket(protocol, p)
}

// WritePackets implements stack.LinkEndpoint.
func (c *captured) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	if c.captures.Load() != nil {
		for _, p := range list.AsSlice() {
			c.show(p)
		}
	}
	return c.Endpoint.WritePackets(list)
}

// Interfaces are all of a VM's.
type Interfaces struct {
	User    *User      // the user-mode network, if there is one
	TAPs    []string   // names of TAP devices
	Address netip.Addr // the guest's at the first of those, if it is known
}

// ErrNone is returned for a VM without an interface.
var ErrNone = errors.New("the VM has no network interface: that takes gosv run -p or --net")

// Capture shows the frames of all interfaces to f until stop is called: then f is not
// called any more.
func (i *Interfaces) Capture(f Capture) (stop func(), err error) {
	if i.User == nil && len(i.TAPs) == 0 {
		return nil, ErrNone
	}
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	if i.User != nil {
		stops = append(stops, i.User.link.capture(f))
	}
	for _, name := range i.TAPs {
		s, err := captureTAP(name, f)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, s)
	}
	return stop, nil
}

// captureTAP shows the frames of an interface of the host's, as tcpdump does.
func captureTAP(name string, f Capture) (stop func(), err error) {
	fail := func(err error) (func(), error) {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: the gosv that runs the VM may not (CAP_NET_RAW); tcpdump -i %s as root can", err, name)
		}
		return nil, fmt.Errorf("capturing at %s: %w", name, err)
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return fail(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	file := os.NewFile(uintptr(fd), name)
	const room = 8 << 20
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // as much as the host allows
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index}); err != nil {
		file.Close()
		return fail(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxFrame)
		for {
			n, err := file.Read(buf)
			if err != nil {
				return
			}
			f(time.Now(), n, buf[:n])
		}
	}()
	return func() { file.Close(); <-done }, nil
}
