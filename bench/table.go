package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// printTable prints the results beside the peers' numbers, and notes beneath.
func printTable(w io.Writer, results []result) error {
	head := append([]string{"", "unit", "**gosv**", "budget", "holds"}, peers[:]...)
	lines := []string{line(head), strings.Repeat("|---", len(head)) + "|"}
	var notes []string
	for _, r := range results {
		lines = append(lines, line(append(ours(r), peersOf(r.Name)...)))
		if r.Note != "" {
			notes = append(notes, r.Name+", "+r.Note+".")
		}
	}
	lines = append(append(lines, "", peerNotes), notes...)
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// ours is the part of a line that is about gosv.
func ours(r result) []string {
	value, budget, holds := r.Why, "", ""
	if r.Value != nil {
		value = "**" + number(*r.Value) + "**"
		if r.Unit == unitRatio {
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

func peersOf(name string) []string {
	c := peerCells[name]
	return c[:]
}

// firstLine makes a message fit into a cell.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.ReplaceAll(s, "|", `\|`)
}

// number writes a whole number with commas.
func number(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
