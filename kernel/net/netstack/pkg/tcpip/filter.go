//go:build netstack

package tcpip

import "gosv/kernel/bpf"

// socketFilter is a part of SocketOptions.
type socketFilter struct{ filter bpf.Slot }

// Filter is where a socket's filter is (SO_ATTACH_FILTER).
func (f *socketFilter) Filter() *bpf.Slot { return &f.filter }
