package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// TAP is the name of the VMM's interface in its namespace.
const TAP = "tap0"

// wireFD is the descriptor by which Enter gets the socket to our side.
const wireFD = 3

// Wire is a user-mode network that waits for its VMM.
type Wire struct {
	stream       bool // it is one, of frames; else the VMM wants a TAP device
	ours, theirs *os.File
	forwards     []Forward
	listeners    []closer
}

// StreamFD is the VMM's descriptor of a wire that is a stream.
const StreamFD = wireFD

// NewWire returns a wire with these ports of the host open; a port that cannot
// be had is an error. It is a stream of frames at the VMM's descriptor StreamFD, or
// else a TAP device.
func NewWire(forwards []Forward, stream bool) (*Wire, error) {
	kind := unix.SOCK_SEQPACKET
	if stream {
		kind = unix.SOCK_STREAM
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("user-mode network: %w", err)
	}
	w := &Wire{stream: stream, ours: os.NewFile(uintptr(pair[0]), "wire"), theirs: os.NewFile(uintptr(pair[1]), "wire"), forwards: forwards}
	for _, f := range forwards {
		l, err := f.listen()
		if err != nil {
			w.Close()
			return nil, err
		}
		w.listeners = append(w.listeners, l)
	}
	return w, nil
}

// Close gives up a wire that was not connected.
func (w *Wire) Close() {
	w.ours.Close()
	w.theirs.Close()
	for _, l := range w.listeners {
		l.Close()
	}
}

// Start starts cmd with its end of the wire before its ExtraFiles. For a TAP device cmd is to call
// Enter first: it starts in a network namespace of its own. Without root that takes a user
// namespace, too.
func (w *Wire) Start(cmd *exec.Cmd) error {
	cmd.ExtraFiles = append([]*os.File{w.theirs}, cmd.ExtraFiles...) // descriptor wireFD
	if w.stream {
		return cmd.Start()
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	a := cmd.SysProcAttr
	a.Cloneflags |= syscall.CLONE_NEWNET
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	err := cmd.Start()
	var errno syscall.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	advice := "" // clone(2)
	switch errno {
	case syscall.ENOSPC:
		advice = ": there are no more to be had: sysctl user.max_user_namespaces and user.max_net_namespaces"
	case syscall.EPERM:
		advice = ": who is not root may make none here: sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns"
	case syscall.EINVAL:
		advice = ": this kernel has none"
	}
	return fmt.Errorf("user-mode network: a namespace for it: %w%s", errno, advice)
}

// Connect serves the guest from when the VMM has its end. Its error is what
// went wrong there.
func (w *Wire) Connect() (*User, error) {
	w.theirs.Close()
	defer w.ours.Close()
	if w.stream {
		return w.connectStream()
	}
	fd, err := w.packetSocket()
	if err != nil {
		return nil, err
	}
	link, err := onTAP(fd)
	if err != nil {
		return nil, err
	}
	u, err := newUser(link)
	if err != nil {
		return nil, err
	}
	w.serve(u)
	return u, nil
}

func (w *Wire) connectStream() (*User, error) {
	conn, err := net.FileConn(w.ours)
	if err != nil {
		return nil, fmt.Errorf("user-mode network: %w", err)
	}
	link, f := newFrames(conn)
	u, err := newUser(link)
	if err != nil {
		conn.Close()
		return nil, err
	}
	context.AfterFunc(u.ctx, func() { conn.Close() })
	u.open.Go(f.serve)
	w.serve(u)
	return u, nil
}

// serve leads the ports of the host to the guest.
func (w *Wire) serve(u *User) {
	for i, l := range w.listeners {
		u.open.Go(func() { u.serve(w.forwards[i], l) })
	}
}

// packetSocket is what Enter hands over.
func (w *Wire) packetSocket() (fd int, err error) {
	text, oob := make([]byte, 512), make([]byte, unix.CmsgSpace(4))
	raw, err := w.ours.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n, oobn int
	var rerr error
	if err := raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), text, oob, unix.MSG_CMSG_CLOEXEC)
		return rerr != unix.EAGAIN
	}); err != nil {
		return 0, err
	}
	switch {
	case rerr != nil:
		return 0, fmt.Errorf("user-mode network: %w", rerr)
	case oobn == 0 && n == 0:
		return 0, errors.New("user-mode network: the VMM ended before it had a network")
	case oobn == 0:
		return 0, errors.New(string(text[:n]))
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// Enter is called in the namespace that Attach made: it makes the TAP device, which a user
// may open who is not root there, hands a packet socket of it to Connect, and becomes
// the program argv.
func Enter(owner int, argv []string) error {
	fd, err := makeTAP(owner)
	if err == nil {
		err = unix.Sendmsg(wireFD, []byte("ok"), unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		err = fmt.Errorf("user-mode network: %w", err)
		unix.Write(wireFD, []byte(err.Error()))
		return err
	}
	unix.Close(fd)
	unix.Close(wireFD)
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, argv, os.Environ())
}

// makeTAP makes the device and returns a packet socket that sees its frames,
// each behind a virtio-net header (man 7 packet, PACKET_VNET_HDR).
func makeTAP(owner int) (fd int, err error) {
	const device = "/dev/net/tun"
	tun, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		advice := "is the module tun loaded?"
		if errors.Is(err, fs.ErrPermission) {
			advice = "it is usually everybody's: chmod 666 " + device
		}
		return 0, fmt.Errorf("%s: %w (%s)", device, err, advice)
	}
	defer unix.Close(tun) // it persists
	req, err := unix.NewIfreq(TAP)
	if err != nil {
		return 0, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	switch err := unix.IoctlIfreq(tun, unix.TUNSETIFF, req); {
	case errors.Is(err, fs.ErrPermission): // as root of our namespace
		return 0, fmt.Errorf("making a TAP device: %w (AppArmor may be why: sysctl kernel.apparmor_restrict_unprivileged_userns=0)", err)
	case err != nil:
		return 0, fmt.Errorf("making a TAP device: %w", err)
	}
	if err := unix.IoctlSetInt(tun, unix.TUNSETOWNER, owner); err != nil {
		return 0, fmt.Errorf("giving a TAP device to user %d: %w", owner, err)
	}
	if err := unix.IoctlSetInt(tun, unix.TUNSETPERSIST, 1); err != nil {
		return 0, fmt.Errorf("making a TAP device: %w", err)
	}
	// Our kernel shall not speak on this wire, only the stack.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+TAP+"/disable_ipv6", []byte("1"), 0)
	if err := bringUp(); err != nil {
		return 0, fmt.Errorf("bringing %s up: %w", TAP, err)
	}
	i, err := net.InterfaceByName(TAP)
	if err != nil {
		return 0, err
	}
	protocol := htons(unix.ETH_P_ALL)
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	const packetIgnoreOutgoing = 23
	for _, option := range []int{unix.PACKET_VNET_HDR, packetIgnoreOutgoing} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, option, 1); err != nil {
			return 0, fmt.Errorf("packet socket: %w", err)
		}
	}
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		const bytes = 4 << 20
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bytes) // as much as the host allows
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: i.Index}); err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	return fd, nil
}

func bringUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(TAP)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}

// htons gives a number in the network's byte order.
func htons(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// Check says why this machine has no user-mode network of ours, or nil.
func Check() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w, err := NewWire(nil, false)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "netns", "0", "true")
	if err := w.Start(cmd); err != nil {
		w.Close()
		return err
	}
	u, err := w.Connect()
	cmd.Wait()
	if err != nil {
		return err
	}
	u.Close()
	return nil
}
