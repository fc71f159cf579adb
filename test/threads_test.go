package test

import "testing"

// TestFutexes: every operation, right and wrong, and threads that end.
func TestFutexes(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "futexes"))
}

// TestManyThreads: thousands at once, and many more one after the other.
func TestManyThreads(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "manythreads")
	n, rounds := "1000", "2000"
	if *stress {
		n, rounds = "10000", "100000"
	}
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			r := run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-m", "512", "-c", cpus}, options{}, prog, n, rounds)
			expect(t, r, n+" threads: right\n"+rounds+" rounds: no leak\n")
		})
	}
}
