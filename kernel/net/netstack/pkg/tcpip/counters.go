//go:build netstack

package tcpip

import (
	"reflect"
	"unsafe"
)

// InitStatCounters sets the fields of v, a struct of pointers to counters and of such
// structs, to new ones. Netstack's own asks package reflect for each of the 900 that a
// machine with one network device has.
func InitStatCounters(v reflect.Value) {
	p := v.Addr()
	switch s := p.Interface().(type) {
	case *Stats:
		s.NICs.initMaps()
	case *NICStats:
		s.initMaps()
	}
	fields := unsafe.Slice((**StatCounter)(p.UnsafePointer()), v.Type().Size()/unsafe.Sizeof(uintptr(0)))
	counters := make([]StatCounter, len(fields))
	for i, f := range fields {
		if f == nil {
			fields[i] = &counters[i]
		}
	}
}

// initMaps sets those fields that are no single counters: see kernel/net's TestCounters.
func (s *NICStats) initMaps() {
	for _, m := range []**IntegralStatCounterMap{&s.UnknownL3ProtocolRcvdPacketCounts, &s.UnknownL4ProtocolRcvdPacketCounts} {
		if *m == nil {
			*m = new(IntegralStatCounterMap)
			(*m).Init()
		}
	}
}
