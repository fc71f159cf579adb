package main

import (
	"fmt"
	"regexp"
	"strconv"
)

// workLine is what spin.c prints.
var workLine = regexp.MustCompile(`(?m)^work (\d+)\r?$`)

// speedup returns how long four threads' work takes on four CPUs in parts of what it takes
// on one: of the shortest of some runs by turns, since others use the host too. run
// returns the guest's output.
func speedup(run func(cpus int) (string, error)) (float64, string, error) {
	const turns = 3
	best := map[int]float64{}
	for range turns {
		for _, cpus := range []int{1, 4} {
			out, err := run(cpus)
			if err != nil && out == "" {
				return 0, "", err
			}
			m := workLine.FindStringSubmatch(out)
			if m == nil {
				return 0, "", fmt.Errorf("no time in its output: %s", out)
			}
			us, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return 0, "", err
			}
			if best[cpus] == 0 || us < best[cpus] {
				best[cpus] = us
			}
		}
	}
	return best[4] / best[1], "", nil
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
