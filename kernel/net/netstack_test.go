package net

import (
	"reflect"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// TestCounters: netstack's statistics are what the kernel's InitStatCounters (package
// netstack/pkg/tcpip) takes them for.
func TestCounters(t *testing.T) {
	var check func(in reflect.Type)
	check = func(in reflect.Type) {
		for i := range in.NumField() {
			switch f := in.Field(i); {
			case f.Type.Kind() == reflect.Struct:
				check(f.Type)
			case f.Type == reflect.TypeFor[*tcpip.IntegralStatCounterMap]() && in == reflect.TypeFor[tcpip.NICStats]():
			case f.Type != reflect.TypeFor[*tcpip.StatCounter]():
				t.Errorf("%s.%s is a %s", in, f.Name, f.Type)
			}
		}
	}
	for _, s := range []any{tcpip.Stats{}, arp.Stats{}, ipv4.Stats{}, ipv6.Stats{}} {
		check(reflect.TypeOf(s))
	}
}
