package main

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// callProfile makes a profile for the compiler (go build -pgo) of what tools/icount/calls.c has
// counted in a kernel with symbols. Each call is a sample of its caller, with what is inlined there, and its
// callee. Calls that were made less than so many times are left out, and those of the runtime and of
// kernel/metal, which are to stay as they are.
func callProfile(kernel *elf.File, calls []byte, least int64) (*profile.Profile, error) {
	c, err := readCode(kernel)
	if err != nil {
		return nil, err
	}
	count := &profile.ValueType{Type: "samples", Unit: "count"}
	p := &profile.Profile{SampleType: []*profile.ValueType{count}, PeriodType: count, Period: 1, Function: c.functions}
	location := func(lines []profile.Line) *profile.Location {
		l := &profile.Location{ID: uint64(len(p.Location)) + 1, Line: lines}
		p.Location = append(p.Location, l)
		return l
	}
	for _, line := range slices.Sorted(strings.Lines(string(calls))) {
		var from, to uint64
		var n int64
		if _, err := fmt.Sscanf(line, "%x %x %d", &from, &to, &n); err != nil {
			return nil, fmt.Errorf("the count %q: %w", line, err)
		}
		caller, callee := c.function(from), c.function(to)
		if n < least || caller == nil || callee == nil || callee.start() != to || // a stub, or an interrupt
			strings.HasPrefix(caller.function.Name, "runtime.") || strings.HasPrefix(caller.function.Name, "gosv/kernel/metal.") {
			continue
		}
		begin := []profile.Line{{Function: callee.function, Line: callee.function.StartLine}}
		p.Sample = append(p.Sample, &profile.Sample{Value: []int64{n},
			Location: []*profile.Location{location(begin), location(caller.frames(from, c.line(from)))}})
	}
	if len(p.Sample) == 0 {
		return nil, errors.New("none of its calls were counted")
	}
	return p.Compact(), p.CheckValid()
}

// code is what DWARF says of a program's.
type code struct {
	functions []*profile.Function
	bodies    []*body           // by address
	lines     []dwarf.LineEntry // by address
}

// body is a function's code, or a copy of it that is inlined in another's.
type body struct {
	function *profile.Function
	ranges   [][2]uint64 // from, to
	callLine int64       // in what it is inlined in
	inlined  []*body     // in it
}

func readCode(program *elf.File) (*code, error) {
	d, err := program.DWARF()
	if err != nil {
		return nil, err
	}
	c := &code{}
	functions := map[dwarf.Offset]*profile.Function{}
	within := []*body{nil} // what the entry lies in
	for r := d.Reader(); ; {
		e, err := r.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			break
		}
		b := within[len(within)-1]
		switch e.Tag {
		case 0: // the end of what lies in an entry
			within = within[:len(within)-1]
		case dwarf.TagCompileUnit:
			err = c.readLines(d, e)
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			b, err = c.readBody(d, e, b, functions)
		}
		if err != nil {
			return nil, err
		}
		if e.Children {
			within = append(within, b)
		}
	}
	slices.SortFunc(c.bodies, func(a, b *body) int { return cmp.Compare(a.start(), b.start()) })
	slices.SortStableFunc(c.lines, func(a, b dwarf.LineEntry) int { return cmp.Compare(a.Address, b.Address) })
	return c, nil
}

// readLines adds a compile unit's.
func (c *code) readLines(d *dwarf.Data, unit *dwarf.Entry) error {
	r, err := d.LineReader(unit)
	if r == nil || err != nil {
		return err
	}
	for {
		var l dwarf.LineEntry
		if err := r.Next(&l); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if !l.EndSequence {
			c.lines = append(c.lines, l)
		}
	}
}

// readBody adds the body of a function, or of one that is inlined in another body. It returns
// nil for one that has no code of its own, since it is inlined wherever it is called.
func (c *code) readBody(d *dwarf.Data, e *dwarf.Entry, in *body, functions map[dwarf.Offset]*profile.Function) (*body, error) {
	ranges, err := d.Ranges(e)
	if len(ranges) == 0 || err != nil {
		return nil, err
	}
	b := &body{ranges: ranges}
	b.callLine, _ = e.Val(dwarf.AttrCallLine).(int64)
	if origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); ok {
		r := d.Reader()
		r.Seek(origin)
		if e, err = r.Next(); err != nil {
			return nil, err
		}
	}
	if b.function = functions[e.Offset]; b.function == nil {
		name, _ := e.Val(dwarf.AttrName).(string)
		line, _ := e.Val(dwarf.AttrDeclLine).(int64)
		b.function = &profile.Function{ID: uint64(len(c.functions)) + 1, Name: name, SystemName: name, StartLine: line}
		functions[e.Offset] = b.function
		c.functions = append(c.functions, b.function)
	}
	if in != nil {
		in.inlined = append(in.inlined, b)
	} else {
		c.bodies = append(c.bodies, b)
	}
	return b, nil
}

// start is where a call of b leads.
func (b *body) start() uint64 { return b.ranges[0][0] }

// at returns the one of some bodies that has an address, or nil.
func at(bodies []*body, addr uint64) *body {
	for _, b := range bodies {
		for _, r := range b.ranges {
			if r[0] <= addr && addr < r[1] {
				return b
			}
		}
	}
	return nil
}

// function returns the one that has an address, or nil.
func (c *code) function(addr uint64) *body {
	i, found := slices.BinarySearchFunc(c.bodies, addr, func(b *body, addr uint64) int { return cmp.Compare(b.start(), addr) })
	if !found {
		i--
	}
	return at(c.bodies[max(i, 0):i+1], addr)
}

// line returns the line of the code at an address.
func (c *code) line(addr uint64) int64 {
	i, _ := slices.BinarySearchFunc(c.lines, addr+1, func(l dwarf.LineEntry, addr uint64) int { return cmp.Compare(l.Address, addr) })
	return int64(c.lines[i-1].Line)
}

// frames returns what an address in b's code is in, the innermost first, if it is of this line.
func (b *body) frames(addr uint64, line int64) []profile.Line {
	frames := []profile.Line{{Function: b.function, Line: line}}
	for in := at(b.inlined, addr); in != nil; in = at(in.inlined, addr) {
		frames[0].Line = in.callLine
		frames = slices.Insert(frames, 0, profile.Line{Function: in.function, Line: line})
	}
	return frames
}
