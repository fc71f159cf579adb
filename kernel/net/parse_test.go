package net

import (
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestParseIP: addresses, and what is nearly one, are what package netip takes them for.
func TestParseIP(t *testing.T) {
	list := []string{"", ":", "::", ":::", "1.2.3.4", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "1::2::3", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4:5", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::",
		"fe80::1", "FE80::A", "12345::", "::+1", "::_1", "1:", ":1", "::1:", "+1.2.3.4", "0:0:0:0:0:0:0:0", "::0x1"}
	r := mathrand.New(mathrand.NewPCG(5, 6))
	pieces := []string{":", "::", ".", "0", "1", "25", "255", "f00", "ffff", "1.2.3.4", "1:2:3", "x", "-"}
	for range 100_000 {
		s := ""
		for range 1 + r.IntN(12) {
			s += pieces[r.IntN(len(pieces))]
		}
		list = append(list, s)
	}
	for _, s := range list {
		want, err := netip.ParseAddr(s)
		got, ok := parseIP(s)
		if ok != (err == nil) || ok && !slices.Equal(got.AsSlice(), want.AsSlice()) {
			t.Fatalf("%q is %v, %v, not %v, %v", s, got, ok, want, err)
		}
		p := s + "/" + pieces[r.IntN(len(pieces))]
		prefix, err := netip.ParsePrefix(p)
		have, ok := parsePrefix(p)
		if ok != (err == nil) || ok && (have.PrefixLen != prefix.Bits() || !slices.Equal(have.Address.AsSlice(), prefix.Addr().AsSlice())) {
			t.Fatalf("%q is %v, %v, not %v, %v", p, have, ok, prefix, err)
		}
	}
}
