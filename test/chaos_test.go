package test

import (
	"fmt"
	"strconv"
	"testing"
)

// TestChaos: the kernel outlives random system calls, and has lost nothing when
// they are over. make stress makes a million.
func TestChaos(t *testing.T) {
	t.Parallel()
	half, seeds := 10_000, 3
	if *stress {
		half, seeds = 500_000, 2
	}
	for seed := range seeds {
		for _, cpus := range []string{"1", "4"} {
			t.Run(fmt.Sprintf("seed %d, CPUs %s", seed, cpus), func(t *testing.T) {
				t.Parallel()
				m := append(microvm[:len(microvm):len(microvm)], "-c", cpus)
				r := run(t, m, options{}, cProgram(t, musl, "chaos"), strconv.Itoa(seed), strconv.Itoa(half))
				var free, open [2]int
				if _, err := fmt.Sscanf(r.stdout, "free %d open %d\nfree %d open %d\n", &free[0], &open[0], &free[1], &open[1]); err != nil || r.code != 0 {
					t.Fatalf("%v\nwant its counts, and exit code 0", r)
				}
				if open != [2]int{3, 3} {
					t.Errorf("%d open descriptors", open)
				}
				const most = 4 << 10 // kB: the kernel's own heap varies
				if lost := free[0] - free[1]; lost > most {
					t.Errorf("%d kB less are free than before as many calls", lost)
				}
			})
		}
	}
}
