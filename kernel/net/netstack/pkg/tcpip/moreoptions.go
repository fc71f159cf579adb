//go:build netstack

package tcpip

import (
	"sync/atomic"

	"gosv/kernel/bpf"
)

// moreOptions is a part of SocketOptions.
type moreOptions struct {
	filter  bpf.Slot
	group   bpf.Slot
	anyAddr atomic.Bool
}

// Filter is where a socket's filter is (SO_ATTACH_FILTER).
func (o *moreOptions) Filter() *bpf.Slot { return &o.filter }

// Group is where the program is that chooses among sockets bound to the same port
// (SO_ATTACH_REUSEPORT_CBPF).
func (o *moreOptions) Group() *bpf.Slot { return &o.group }

// BindsAny says whether a socket may be bound to any address (IP_FREEBIND).
func (o *moreOptions) BindsAny() bool { return o.anyAddr.Load() }

// SetBindsAny sets that.
func (o *moreOptions) SetBindsAny(on bool) { o.anyAddr.Store(on) }
