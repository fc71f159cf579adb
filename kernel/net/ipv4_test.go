package net

import "testing"

// TestMine: for which packets the short way is.
func TestMine(t *testing.T) {
	e := &ipv4Endpoint{}
	if e.mine(0x0a000002, 0x0a000001) {
		t.Error("without an address")
	}
	e.local.Store(&[]subnet{{0x0a000001, 0xffffff00}, {0xc0a80001, 0xfffffffe}, {0xac100001, 0xffffffff}})
	for _, c := range []struct {
		from, to uint32
		mine     bool
	}{
		{0x0a000002, 0x0a000001, true},
		{0x08080808, 0x0a000001, true},
		{0x08080808, 0xc0a80001, true},
		{0x08080808, 0xac100001, true},
		{0x08080808, 0x0a000002, false}, // another's
		{0x0a000001, 0x0a000001, false}, // from ourselves
		{0xac100001, 0x0a000001, false},
		{0x0a0000ff, 0x0a000001, false}, // from everybody
		{0x08080808, 0x0a0000ff, false}, // to everybody
		{0x7f000001, 0x0a000001, false},
		{0xe0000001, 0x0a000001, false},
		{0xffffffff, 0x0a000001, false},
		{0, 0x0a000001, false},
	} {
		if got := e.mine(c.from, c.to); got != c.mine {
			t.Errorf("from %#x to %#x: %v", c.from, c.to, got)
		}
	}
}
