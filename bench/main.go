// Bench measures gosv and prints one Markdown table of it beside its peers:
//
//	go run ./bench [-run REGEXP] [-json]
//	go run ./bench -pgo FILE     measures nothing, but writes the profile that the kernel with a network is built with
//
// It counts instructions, VM exits, bytes and megabytes: what a machine's load
// does not change. It runs in the project's directory, after make.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"gosv/internal/image"
)

// helloLine is what the hello programs print.
const helloLine = "Hello from a microVM"

// bench is where measurements find what they need.
type bench struct {
	dir                    string // for temporary files
	gosv                   string // paths
	kernel, netKernel      string
	micros, linuxMicros    map[int]*micros // by number of CPUs
	disks, vsocks, boxWebs rates           // on Firecracker
	speedups, webs         rates           // on QEMU
}

// skip is the reason why something is not measured on this machine.
type skip string

func (s skip) Error() string { return "skipped: " + string(s) }

// row is a line of the table.
type row struct {
	name    string
	unit    string
	budget  float64 // the most it may be; 0 for none
	measure func(b *bench) (value float64, note string, err error)
	linux   func(b *bench) (value float64, note string, err error) // the same of Linux, nil where it is not measured in this run
}

// result is what became of a row.
type result struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Value  *float64 `json:"value,omitempty"` // nil if there is none, and why says why
	Why    string   `json:"why,omitempty"`
	Budget float64  `json:"budget,omitempty"`
	Holds  *bool    `json:"holds,omitempty"`
	Note   string   `json:"note,omitempty"`
	Linux  *float64 `json:"linux,omitempty"` // where it was measured in this run
	failed bool
}

func (b *bench) run(r row) result {
	res := result{Name: r.name, Unit: r.unit, Budget: r.budget}
	v, note, err := r.measure(b)
	res.Note = note
	if err != nil {
		var s skip
		res.Why, res.failed = err.Error(), !errors.As(err, &s)
		return res
	}
	res.Value = &v
	if r.linux != nil {
		if l, _, err := r.linux(b); err == nil {
			res.Linux = &l
		} else {
			res.Note = "Linux was not measured: " + firstLine(err.Error())
		}
	}
	if r.budget != 0 {
		holds := v <= r.budget
		res.Holds = &holds
	}
	return res
}

// newBench prepares the directory dir for measurements.
func newBench(dir string) (*bench, error) {
	b := &bench{dir: dir, kernel: filepath.Join(dir, "kernel.elf"), micros: map[int]*micros{}, linuxMicros: map[int]*micros{}}
	var err error
	if b.gosv, err = filepath.Abs("bin/gosv"); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.gosv); err != nil {
		return nil, fmt.Errorf("%w: run make in the project's directory first", err)
	}
	k, err := image.Kernel(false)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.kernel, k, 0o644); err != nil {
		return nil, err
	}
	if k, err = image.Kernel(true); err != nil {
		return nil, err
	}
	b.netKernel = filepath.Join(dir, "net.elf")
	return b, os.WriteFile(b.netKernel, k, 0o644)
}

func run(pattern string, asJSON bool, pgo string) error {
	selected, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	dir, err := os.MkdirTemp("", "gosv-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(dir)
	if err != nil {
		return err
	}
	if pgo != "" {
		return b.train(pgo)
	}
	var results []result
	var failed []error
	for _, r := range rows() {
		if !selected.MatchString(r.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", r.name)
		res := b.run(r)
		results = append(results, res)
		if res.failed {
			failed = append(failed, fmt.Errorf("%s: %s", r.name, res.Why))
		}
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(results)
	} else {
		err = printTable(os.Stdout, results)
	}
	return errors.Join(append(failed, err)...)
}

func main() {
	pattern := flag.String("run", "", "measure only what matches this regular expression")
	asJSON := flag.Bool("json", false, "print JSON, without the peers")
	pgo := flag.String("pgo", "", "measure nothing, but write the profile that the kernel with a network is built with")
	flag.Parse()
	if err := run(*pattern, *asJSON, *pgo); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
