//go:build netstack

package tcpip

import (
	"sync/atomic"

	"gosv/kernel/bpf"
)

// moreOptions is a part of SocketOptions, nil as long as none of them has been set: a
// connection's endpoint has just room for a pointer.
type moreOptions struct{ more atomic.Pointer[options] }

type options struct {
	filter, group bpf.Slot
	anyAddr       atomic.Bool
	icmpTypes     atomic.Uint32
}

func (o *moreOptions) make() *options {
	o.more.CompareAndSwap(nil, new(options))
	return o.more.Load()
}

// Filter is where a socket's filter is (SO_ATTACH_FILTER).
func (o *moreOptions) Filter() *bpf.Slot { return &o.make().filter }

// Group is where the program is that chooses among sockets bound to the same port
// (SO_ATTACH_REUSEPORT_CBPF).
func (o *moreOptions) Group() *bpf.Slot { return &o.make().group }

// FilterProgram returns the filter, nil if there is none.
func (o *moreOptions) FilterProgram() *bpf.Program {
	if m := o.more.Load(); m != nil {
		return m.filter.Program()
	}
	return nil
}

// GroupProgram returns the program that chooses, nil if there is none.
func (o *moreOptions) GroupProgram() *bpf.Program {
	if m := o.more.Load(); m != nil {
		return m.group.Program()
	}
	return nil
}

// ICMPTypes are those of messages that a raw socket does not take (ICMP_FILTER).
func (o *moreOptions) ICMPTypes() *atomic.Uint32 { return &o.make().icmpTypes }

// DeniesICMP says whether a type is one of them.
func (o *moreOptions) DeniesICMP(typ uint8) bool {
	m := o.more.Load()
	return m != nil && m.icmpTypes.Load()>>typ&1 != 0
}

// BindsAny says whether a socket may be bound to any address (IP_FREEBIND).
func (o *moreOptions) BindsAny() bool {
	m := o.more.Load()
	return m != nil && m.anyAddr.Load()
}

// SetBindsAny sets that.
func (o *moreOptions) SetBindsAny(on bool) { o.make().anyAddr.Store(on) }
