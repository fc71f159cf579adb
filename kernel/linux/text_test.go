package linux

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestParseInt(t *testing.T) {
	for _, s := range []string{"", "0", "7", "-7", "+7", "-", "+", "--1", "007", "010", "0x1F", "x", "1 ", " 1", "1a", "9223372036854775807",
		"9223372036854775808", "-9223372036854775807", "99999999999999999999", "/", ":", "1:", "\xff"} {
		want, err := strconv.ParseInt(s, 10, 64)
		if got, ok := parseInt(s); ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %d, %v; want %d, %v", s, got, ok, want, err)
		}
	}
}

func TestSortIDs(t *testing.T) {
	for n := range 100 {
		ids := make([]uint32, n*n)
		for i := range ids {
			ids[i] = rand.Uint32N(uint32(n * 10))
		}
		want := slices.Sorted(slices.Values(ids))
		if sortIDs(ids); !slices.Equal(ids, want) {
			t.Fatalf("not sorted: %v", ids)
		}
	}
}
