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

	// Ioctl does what a request of netdevice(7), of arp(7) or about routes asks, by a socket of
	// that family: ENOTTY if it is none of those.
	Ioctl(c socket.Caller, family int32, req, arg uintptr) Errno

	// Table returns what a file of /proc/net is to show; of ping/ADDRESS, after how
	// many ns that address has answered, or why it has not.
	Table(name string) string

	// Links returns the names of the network devices, and Attribute what a file of
	// their directories in /sys/class/net is to show.
	Links() []string
	Attribute(link, name string) string
}
