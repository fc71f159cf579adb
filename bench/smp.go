package main

import (
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// workLine is what spin.c prints.
var workLine = regexp.MustCompile(`(?m)^work (\d+)$`)

// speedup returns how long four threads' work takes on four CPUs in parts of what it takes
// on one: the median of some runs of both kernels by turns. Others use the host too, so they
// run with real-time priority if that is allowed.
func (b *bench) speedup(linux bool) (float64, string, error) {
	const turns, of = 5, "work"
	return b.speedups.get(of, linux, func() (gosv, linux map[string][]float64, err error) {
		defer goFirst()()
		gosv, linux = map[string][]float64{}, map[string][]float64{}
		for range turns {
			us, err := ratioOf(b.spinOnGosv)
			if err != nil {
				return nil, nil, err
			}
			them, err := ratioOf(b.spinOnLinux)
			if err != nil {
				return nil, nil, err
			}
			gosv[of], linux[of] = append(gosv[of], us), append(linux[of], them)
		}
		return gosv, linux, nil
	})
}

// goFirst gives what the caller starts from now on priority over all that is not as important,
// if it may, until the function that it returns is called.
func goFirst() (end func()) {
	const other, roundRobin = 0, 2 // policies of sched(7)
	set := func(policy uintptr, priority int32) {
		syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, 0, policy, uintptr(unsafe.Pointer(&priority)))
	}
	runtime.LockOSThread()
	set(roundRobin, 1)
	return func() {
		set(other, 0)
		runtime.UnlockOSThread()
	}
}

// ratioOf returns the time on four CPUs in parts of that on one, of what run
// prints.
func ratioOf(run func(cpus int) (string, error)) (float64, error) {
	var us [2]float64
	for i, cpus := range []int{1, 4} {
		out, err := run(cpus)
		if err != nil {
			return 0, err
		}
		m := workLine.FindStringSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("no time in its output: %s", out)
		}
		if us[i], err = strconv.ParseFloat(m[1], 64); err != nil {
			return 0, err
		}
	}
	return us[1] / us[0], nil
}

func (b *bench) spinOnGosv(cpus int) (string, error) {
	img, err := b.image(spinC)
	if err != nil {
		return "", err
	}
	return b.runGosv(img, "-c", strconv.Itoa(cpus))
}

func (b *bench) spinOnLinux(cpus int) (string, error) {
	return b.runLinux(cpus, 100, nil, spinC)
}
