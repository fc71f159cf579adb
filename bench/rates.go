package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rates are what a program prints by name, on both kernels by turns, measured when
// first asked for.
type rates struct {
	gosv, linux map[string][]float64
	err         error
}

// get returns the median of one of them, and notes that of the turns' ratios; measure
// gives all at once.
func (r *rates) get(name string, linux bool, measure func() (gosv, linux map[string][]float64, err error)) (float64, string, error) {
	if r.gosv == nil && r.err == nil {
		r.gosv, r.linux, r.err = measure()
	}
	switch {
	case r.err != nil:
		return 0, "", r.err
	case linux:
		return median(r.linux[name]), "", nil
	}
	ratios := make([]float64, len(r.gosv[name]))
	for i, v := range r.gosv[name] {
		ratios[i] = v / r.linux[name][i]
	}
	return median(r.gosv[name]), fmt.Sprintf("%.2f of Linux's", median(ratios)), nil
}

func median(list []float64) float64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// parseRates returns what the kernels printed by turns, each after a line with its name:
// names, as many as there are, and numbers, which are what result finds in a line.
func parseRates(out string, result *regexp.Regexp, names, turns int) (gosv, linux map[string][]float64, err error) {
	kernels := map[string]map[string][]float64{"gosv": {}, "linux": {}}
	var in map[string][]float64
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line) // the box has a serial console
		if k := kernels[line]; k != nil {
			in = k
		}
		m := result.FindStringSubmatch(line)
		if m == nil || in == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, nil, err
		}
		in[m[1]] = append(in[m[1]], n)
	}
	for kernel, in := range kernels {
		whole := len(in) == names
		for _, list := range in {
			whole = whole && len(list) == turns
		}
		if !whole {
			return nil, nil, fmt.Errorf("not %d results of %d runs for %s:\n%s", names, turns, kernel, out)
		}
	}
	return kernels["gosv"], kernels["linux"], nil
}
