package test

import "testing"

// TestFutexes: every operation, right and wrong, and threads that end.
func TestFutexes(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "futexes"))
}

// TestLocks: futexes with priority inheritance, by both C libraries' mutexes too.
func TestLocks(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "futexpi"))
	same(t, options{flags: []string{"-c", "4"}}, cProgram(t, musl, "futexpi"))
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

// TestAffinity: threads run where they may, and nowhere else.
func TestAffinity(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "affinity")
	host := runHost(t, options{}, prog)
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			compare(t, run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-c", cpus}, options{}, prog), host)
		})
	}
}

// TestWakeUp: who is woken by a thread that uses the CPU does not wait for the end of its turn.
func TestWakeUp(t *testing.T) {
	t.Parallel()
	r := run(t, machine{"--vmm", "qemu", "--accel", "tcg"}, options{}, cProgram(t, glibc, "wakeup"))
	expect(t, r, "futex: at once\npipe: at once\neventfd: at once\n")
}

// TestTorture: what breaks kernels, at once and with more CPUs than the host has.
func TestTorture(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "torture")
	times, generations := 1, "10" // of 50 threads
	if *stress {
		times, generations = 20, "60"
	}
	for how, rounds := range map[string]string{
		"memory": "100", "futex": "50", "signals": "2000", "numbers": "10", "jumps": "500", "stack": "2", "everything": generations,
	} {
		for _, cpus := range []string{"1", "4"} {
			t.Run(how+" "+cpus, func(t *testing.T) {
				t.Parallel()
				for range times {
					expect(t, run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-m", "256", "-c", cpus}, options{}, prog, how, rounds), "sound\n")
				}
			})
		}
	}
}

// TestGarbage: ten thousand goroutines and a busy collector.
func TestGarbage(t *testing.T) {
	t.Parallel()
	prog := goProgram(t, "test/programs/garbage")
	rounds, times := "1", 1
	if *stress {
		rounds, times = "10", 20
	}
	host := runHost(t, options{}, prog, rounds)
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			for range times {
				compare(t, run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-m", "512", "-c", cpus}, options{}, prog, rounds), host)
			}
		})
	}
}
