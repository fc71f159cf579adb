package linux

import "testing"

// TestCPUSplit: shares follow the ticks, the sum is exact, and nothing ever shrinks.
func TestCPUSplit(t *testing.T) {
	var c cpuSplit
	for _, s := range []struct {
		ran          uint64
		user, system uint32
		wantU, wantS uint64
	}{
		{100, 0, 0, 100, 0},
		{100, 0, 9, 100, 0},
		{200, 1, 1, 100, 100},
		{300, 1, 9, 100, 200},
		{310, 100, 0, 110, 200},
		{300, 0, 1, 110, 200},
		{1 << 62, 1<<31 - 1, 1 << 31, 1<<61 - 1<<30 + 1, 1<<61 + 1<<30 - 1},
	} {
		u, sys := c.of(s.ran, s.user, s.system)
		if near := int64(sys - s.wantS); u+sys != max(s.ran, u+sys) || u+sys < s.ran || s.ran < 1<<61 && (u != s.wantU || sys != s.wantS) || near < -1<<31 || near > 1<<31 {
			t.Errorf("ran %d, ticks %d and %d: %d and %d, want %d and %d", s.ran, s.user, s.system, u, sys, s.wantU, s.wantS)
		}
	}
}
