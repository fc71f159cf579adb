package net

import (
	"gvisor.dev/gvisor/pkg/tcpip"

	"gosv/kernel/errno"
)

// errnoOf is what Linux calls an error of netstack's.
func errnoOf(err tcpip.Error) errno.Errno {
	switch err.(type) {
	case nil, *tcpip.ErrClosedForReceive:
		return 0
	case *tcpip.ErrUnknownNICID, *tcpip.ErrUnknownDevice:
		return errno.ENODEV
	case *tcpip.ErrUnknownProtocolOption:
		return errno.ENOPROTOOPT
	case *tcpip.ErrDuplicateNICID, *tcpip.ErrDuplicateAddress:
		return errno.EEXIST
	case *tcpip.ErrHostUnreachable:
		return errno.EHOSTUNREACH
	case *tcpip.ErrHostDown:
		return errno.EHOSTDOWN
	case *tcpip.ErrNoNet:
		return errno.ENONET
	case *tcpip.ErrNetworkUnreachable:
		return errno.ENETUNREACH
	case *tcpip.ErrAlreadyConnecting:
		return errno.EALREADY
	case *tcpip.ErrAlreadyConnected:
		return errno.EISCONN
	case *tcpip.ErrNoPortAvailable:
		return errno.EADDRNOTAVAIL // EADDRINUSE of bind: see there
	case *tcpip.ErrPortInUse:
		return errno.EADDRINUSE
	case *tcpip.ErrBadLocalAddress:
		return errno.EADDRNOTAVAIL
	case *tcpip.ErrClosedForSend, *tcpip.ErrAborted:
		return errno.EPIPE
	case *tcpip.ErrWouldBlock:
		return errno.EAGAIN
	case *tcpip.ErrConnectionRefused:
		return errno.ECONNREFUSED
	case *tcpip.ErrTimeout:
		return errno.ETIMEDOUT
	case *tcpip.ErrConnectStarted:
		return errno.EINPROGRESS
	case *tcpip.ErrDestinationRequired:
		return errno.EDESTADDRREQ
	case *tcpip.ErrNotSupported:
		return errno.EOPNOTSUPP
	case *tcpip.ErrQueueSizeNotSupported:
		return errno.ENOTTY
	case *tcpip.ErrNotConnected:
		return errno.ENOTCONN
	case *tcpip.ErrConnectionReset:
		return errno.ECONNRESET
	case *tcpip.ErrConnectionAborted:
		return errno.ECONNABORTED
	case *tcpip.ErrNoSuchFile:
		return errno.ENOENT
	case *tcpip.ErrBadAddress, *tcpip.ErrBadBuffer:
		return errno.EFAULT
	case *tcpip.ErrMessageTooLong:
		return errno.EMSGSIZE
	case *tcpip.ErrNoBufferSpace:
		return errno.ENOBUFS
	case *tcpip.ErrBroadcastDisabled:
		return errno.EACCES
	case *tcpip.ErrNotPermitted:
		return errno.EPERM
	case *tcpip.ErrAddressFamilyNotSupported:
		return errno.EAFNOSUPPORT
	case *tcpip.ErrEndpointBusy:
		return errno.EBUSY
	}
	return errno.EINVAL
}
