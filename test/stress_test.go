package test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gosv/internal/vmm"
)

// TestStress boots a VM again and again: every time must end well. make
// stress does it a thousand times.
func TestStress(t *testing.T) {
	t.Parallel()
	boots := 10
	if *stress {
		boots = 1000
	}
	hello := cProgram(t, glibc, "hello")
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range cap(slots) {
		wg.Go(func() {
			for i := range numbers {
				// More CPUs than the host has: they stand still at any time.
				m := append(microvm[:len(microvm):len(microvm)], "-c", []string{"1", "4"}[i%2])
				r := run(t, m, options{}, hello)
				if r.stdout != "hello, world\n" || r.stderr != "" || r.code != 0 {
					t.Errorf("boot %d: %v", i, r)
				}
			}
		})
	}
	for i := range boots {
		if t.Failed() {
			break
		}
		numbers <- i
	}
	close(numbers)
	wg.Wait()
}

// TestStorm: threads on several CPUs lose no wake-up, no signal and no page.
func TestStorm(t *testing.T) {
	t.Parallel()
	seeds, rounds := 1, "100"
	if *stress {
		seeds, rounds = 20, "500"
	}
	prog := cProgram(t, glibc, "storm")
	for seed := range seeds {
		for _, cpus := range []string{"1", "2", "4", "8"} {
			t.Run(fmt.Sprintf("seed %d, CPUs %s", seed, cpus), func(t *testing.T) {
				t.Parallel()
				expect(t, run(t, microvm, options{flags: []string{"-c", cpus}}, prog, strconv.Itoa(seed), rounds), "done\n")
			})
		}
	}
}

// TestStressFirecracker is the same a hundred times, on Firecracker.
func TestStressFirecracker(t *testing.T) {
	if !*stress {
		t.Skip("SKIPPED: it takes minutes: make stress runs it")
	}
	t.Parallel()
	const boots = 100
	b := newBox(t, "firecracker")
	hello := b.add(cProgram(t, glibc, "hello"))
	command := vmm.Quote(append(append([]string{"/box/gosv", "run", "--timeout", "30s"}, firecracker...), "-c"))
	out := b.run(t, 600, fmt.Sprintf(`i=0
while [ $i -lt %d ]; do
	i=$((i + 1))
	%s $((i %% 2 * 3 + 1)) %s </dev/null >/tmp/out 2>&1
	code=$?
	if [ $code = 0 ] && [ "$(cat /tmp/out)" = "hello, world" ]; then echo well; else echo boot $i: exit code $code; cat /tmp/out; fi
done
exit 0
`, boots, command, hello))
	if well := strings.Count(out, "well\n"); well != boots {
		t.Errorf("%d of %d boots ended well:\n%s", well, boots, strings.ReplaceAll(out, "well\n", ""))
	}
}
