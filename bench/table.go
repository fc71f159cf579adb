package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// printTable prints the results beside the peers' numbers, and notes beneath.
func printTable(w io.Writer, results []result) error {
	head := append([]string{"", "unit", "**gosv**", "budget", "holds"}, peers[:]...)
	lines := []string{line(head), strings.Repeat("|---", len(head)) + "|"}
	var notes []string
	for _, r := range results {
		lines = append(lines, line(append(ours(r), peersOf(r)...)))
		if r.Note != "" {
			notes = append(notes, r.Name+", "+r.Note+".")
		}
	}
	lines = append(lines, "", peerNotes)
	if s := beside(results); s != "" {
		lines = append(lines, s)
	}
	lines = append(lines, notes...)
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// ours is the part of a line that is about gosv.
func ours(r result) []string {
	value, budget, holds := r.Why, "", ""
	if r.Value != nil {
		value = "**" + number(*r.Value) + "**"
		if r.Unit == unitRatio || r.Unit == unitOfOne {
			value = fmt.Sprintf("**%.2f**", *r.Value)
		}
	}
	if r.Budget != 0 {
		budget = number(r.Budget)
	}
	if r.Holds != nil {
		holds = map[bool]string{true: "yes", false: "**no**"}[*r.Holds]
	}
	return []string{r.Name, r.Unit, firstLine(value), budget, holds}
}

// peersOf are the peers' cells: Linux's own count of this run goes before the one on record.
func peersOf(r result) []string {
	c := peerCells[r.Name]
	if r.Linux != nil {
		c[0] = number(*r.Linux) + " ³"
	}
	return c[:]
}

// beside says how the rows that Linux was measured for in this run compare.
func beside(results []result) string {
	all, below, half := 0, 0, 0
	for _, r := range results {
		if r.Linux == nil || r.Value == nil {
			continue
		}
		all++
		v, l := *r.Value, *r.Linux
		if r.Unit == unitMBs || r.Unit == unitPerSecond { // more is better
			v, l = l, v
		}
		if v <= l {
			below++
		}
		if v <= l/2 {
			half++
		}
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("³ In this run, on the same VMM. Of these %d rows gosv takes no more than Linux (or is as fast) in %d, and half of it or less (or is twice as fast) in %d.", all, below, half)
}

// firstLine makes a message fit into a cell.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.ReplaceAll(s, "|", `\|`)
}

// number writes a whole number with commas, or a small one with a fraction.
func number(v float64) string {
	if v < 100 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
