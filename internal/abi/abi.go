// Package abi tells the host which system calls the kernel has, how complete
// they are and what their arguments mean.
//
// calls.txt is made from the kernel's own table, kernel/linux/table.go, by
// "make docs", and a test there compares the two.
package abi

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A State says how much of a system call there is.
type State string

const (
	Complete State = "complete" // all of what its manual page says
	Partial  State = "partial"  // some of it
	Refused  State = "refused"  // the answer of a Linux that was built or set up without it
	Missing  State = "missing"  // nothing: ENOSYS
)

// Call is a system call.
type Call struct {
	Number int      `json:"number"`
	Name   string   `json:"name"`
	State  State    `json:"state"`
	Note   string   `json:"note,omitempty"` // what is partial, why it is refused or missing
	Args   []string `json:"-"`              // what its arguments are, in the words of internal/strace
}

//go:embed calls.txt
var table string

// Calls returns all system calls, by number.
var Calls = sync.OnceValue(func() (calls []Call) {
	for line := range strings.Lines(table) {
		nr, desc, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(nr)
		c, perr := Parse(n, desc)
		if err != nil || perr != nil {
			panic("internal/abi/calls.txt: " + line)
		}
		calls = append(calls, c)
	}
	return calls
})

var descForm = regexp.MustCompile(`^([a-z_0-9]+)\(([a-z_0-9,]*)\)(?: (partial|refused|missing)(?:: (.+))?)?$`)

// Parse takes a description in the kernel's table apart.
func Parse(number int, desc string) (Call, error) {
	m := descForm.FindStringSubmatch(desc)
	if m == nil {
		return Call{}, fmt.Errorf("%d: cannot make sense of %q", number, desc)
	}
	c := Call{Number: number, Name: m[1], State: State(m[3]), Note: m[4]}
	if m[2] != "" {
		c.Args = strings.Split(m[2], ",")
	}
	if m[3] == "" {
		c.State = Complete
	}
	return c, nil
}

// Find returns the call with the given name.
func Find(name string) (Call, bool) {
	for _, c := range Calls() {
		if c.Name == name {
			return c, true
		}
	}
	return Call{}, false
}

var byNumber = sync.OnceValue(func() map[int]*Call {
	m := map[int]*Call{}
	for _, c := range Calls() {
		m[c.Number] = &c
	}
	return m
})

// ByNumber returns the call with the given number, or nil.
func ByNumber(nr int) *Call { return byNumber()[nr] }

// Unknown is the error for a name that is no system call's: it says which are
// near to it.
func Unknown(name string) error {
	if near := Near(name); len(near) > 0 {
		return fmt.Errorf("there is no system call %s; did you mean %s?", name, strings.Join(near, ", "))
	}
	return fmt.Errorf("there is no system call %s; gosv abi lists all", name)
}

// Near returns names of calls that somebody who wrote name may have meant, the
// nearest first.
func Near(name string) (near []string) {
	const most = 5
	bound := min(max(1, len(name)/2), 3)
	distances := map[string]int{}
	for _, c := range Calls() {
		d := distance(name, c.Name)
		if len(name) > 2 && strings.Contains(c.Name, name) { // open: openat
			d = min(d, 1)
		}
		if d <= bound {
			near = append(near, c.Name)
			distances[c.Name] = d
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distances[a] - distances[b] })
	return near[:min(len(near), most)]
}

// distance is Levenshtein's: how many letters to change, add or leave out.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0] // of the row above, to the left
		row[0] = i + 1
		for j := range len(b) {
			d := last
			if a[i] != b[j] {
				d++
			}
			last = row[j+1]
			row[j+1] = min(d, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
