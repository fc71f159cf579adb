package linux

import "gosv/kernel/socket"

// Network is the sockets of the families that are on one, and what else there is to know
// of it. Package net has them, in the kernel that is linked with it.
type Network interface {
	// Socket makes a socket, of any family that this package does not know.
	Socket(c socket.Caller, family, kind, protocol int32) (socket.Socket, Errno)

	// Flush has the devices send what they hold back for more to be sent at once. A thread
	// calls it before it waits, asks what to wait for, or has used up its turn.
	Flush()

	// Interface does what an ioctl of netdevice(7) asks of a struct ifreq.
	Interface(req uint32, ifreq *[socket.IfreqSize]byte) Errno

	// Interfaces returns a struct ifreq for each IPv4 address, as SIOCGIFCONF does.
	Interfaces() []byte

	// Table returns what a file of /proc/net is to show; of ping/ADDRESS, after how
	// many ns that address has answered, or why it has not.
	Table(name string) string

	// Links returns the names of the network devices, and Attribute what a file of
	// their directories in /sys/class/net is to show.
	Links() []string
	Attribute(link, name string) string
}

// Requests of ioctl(2) about network devices (netdevice(7)): those between read or
// set what a struct ifreq is about, SIOCGIFCONF lists.
const (
	siocFirst   = 0x8910 // SIOCGIFNAME
	siocGIFConf = 0x8912
	siocLast    = 0x8970
)

// deviceIoctl is ioctl(2) of any socket about network devices.
func (t *Thread) deviceIoctl(req, arg uintptr) (uintptr, Errno) {
	net := t.proc.kernel.Network
	if net == nil || req < siocFirst || req > siocLast {
		return 0, ENOTTY
	}
	if req == siocGIFConf {
		return 0, t.interfaces(net.Interfaces(), arg)
	}
	var ifreq [socket.IfreqSize]byte
	if err := copyIn(t, &ifreq, arg); err != 0 {
		return 0, err
	}
	if err := net.Interface(uint32(req), &ifreq); err != 0 {
		return 0, err
	}
	return 0, copyOut(t, arg, &ifreq)
}

// interfaces answers SIOCGIFCONF.
func (t *Thread) interfaces(list []byte, arg uintptr) Errno {
	var conf struct {
		len int32
		_   int32
		buf uintptr
	}
	if err := copyIn(t, &conf, arg); err != 0 {
		return err
	}
	if conf.buf != 0 {
		list = list[:min(len(list), max(0, int(conf.len))/socket.IfreqSize*socket.IfreqSize)]
		if err := t.CopyOut(conf.buf, list); err != 0 {
			return err
		}
	}
	conf.len = int32(len(list))
	return copyOut(t, arg, &conf)
}
