// Package profile makes profiles that go tool pprof opens of what a VM says of its kernel
// and of its program.
package profile

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"gosv/internal/trace"
)

// kernelPrefix tells the kernel's functions from those of a program in Go.
const kernelPrefix = "kernel/"

// kernelHalf is what all of the kernel's code addresses have in their upper half, which the
// VM does not send.
const kernelHalf = 0xffffffff00000000

// builder puts a profile together.
type builder struct {
	p         profile.Profile
	functions map[string]*profile.Function
	locations map[any]*profile.Location
	samples   map[string]*profile.Sample // by stack and labels
}

func newBuilder(types ...*profile.ValueType) *builder {
	return &builder{p: profile.Profile{SampleType: types}, functions: map[string]*profile.Function{},
		locations: map[any]*profile.Location{}, samples: map[string]*profile.Sample{}}
}

func (b *builder) mapping(start, limit, offset uint64, file, id string) *profile.Mapping {
	m := &profile.Mapping{ID: uint64(len(b.p.Mapping)) + 1, Start: start, Limit: limit, Offset: offset, File: file, BuildID: id, HasFunctions: true}
	b.p.Mapping = append(b.p.Mapping, m)
	return m
}

// location returns the one with a key, which is made if there is none.
func (b *builder) location(key any, m *profile.Mapping, addr uint64, function, file string, line int) *profile.Location {
	if l := b.locations[key]; l != nil {
		return l
	}
	l := &profile.Location{ID: uint64(len(b.p.Location)) + 1, Mapping: m, Address: addr}
	b.p.Location = append(b.p.Location, l)
	b.locations[key] = l
	if function != "" {
		f := b.functions[function+"\x00"+file]
		if f == nil {
			f = &profile.Function{ID: uint64(len(b.p.Function)) + 1, Name: function, SystemName: function, Filename: file}
			b.functions[function+"\x00"+file] = f
			b.p.Function = append(b.p.Function, f)
		}
		l.Line = []profile.Line{{Function: f, Line: int64(line)}}
	}
	return l
}

// named returns a location that has no address.
func (b *builder) named(function, file string, line int) *profile.Location {
	type key struct {
		function, file string
		line           int
	}
	return b.location(key{function, file, line}, nil, 0, function, file, line)
}

// add counts a sample, whose innermost frame is the first of stack.
func (b *builder) add(label string, stack []*profile.Location, values ...int64) {
	var key strings.Builder
	key.WriteString(label)
	for _, l := range stack {
		fmt.Fprintf(&key, " %d", l.ID)
	}
	s := b.samples[key.String()]
	if s == nil {
		s = &profile.Sample{Location: stack, Value: make([]int64, len(values))}
		if label != "" {
			s.Label = map[string][]string{"thread": {label}}
		}
		b.samples[key.String()] = s
		b.p.Sample = append(b.p.Sample, s)
	}
	for i, v := range values {
		s.Value[i] += v
	}
}

func (b *builder) encode() ([]byte, error) {
	if err := b.p.CheckValid(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := b.p.Write(&out)
	return out.Bytes(), err
}

// Mapping is one of the program's executable ones.
type Mapping struct {
	Start, Limit, Offset uint64
	File                 string // in the VM
	ELF                  []byte // what is in that, if it is known
}

// ParseMaps reads the executable mappings of files from /proc/PID/maps.
func ParseMaps(text string) (all []Mapping) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line) // range, rights, offset, device, inode, name
		if len(f) < 6 || !strings.Contains(f[1], "x") || !strings.HasPrefix(f[5], "/") {
			continue
		}
		var m Mapping
		if _, err := fmt.Sscanf(f[0]+" "+f[2], "%x-%x %x", &m.Start, &m.Limit, &m.Offset); err != nil {
			continue
		}
		m.File = strings.Join(f[5:], " ")
		all = append(all, m)
	}
	return all
}

// CPU is a profile of what the CPUs did.
type CPU struct {
	Kernel  []byte // its ELF file
	Program []Mapping
	Began   time.Time
	Took    time.Duration
	Samples []trace.Sample
}

// period is the time between two samples: see diag.Sample.
const period = 10 * time.Millisecond

// Encode returns it as go tool pprof reads it.
func (c *CPU) Encode() ([]byte, error) {
	kernel, err := readSymbols(c.Kernel)
	if err != nil {
		return nil, fmt.Errorf("the kernel: %w", err)
	}
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	b := newBuilder(&profile.ValueType{Type: "samples", Unit: "count"}, cpu)
	b.p.PeriodType, b.p.Period = cpu, int64(period)
	b.p.TimeNanos, b.p.DurationNanos = c.Began.UnixNano(), int64(c.Took)
	inProgram := make([]*profile.Mapping, len(c.Program))
	named := make([]*symbols, len(c.Program))
	for i, m := range c.Program {
		id := ""
		if s, err := readSymbols(m.ELF); err == nil { // else there are addresses
			named[i], id = s, s.id
		}
		inProgram[i] = b.mapping(m.Start, m.Limit, m.Offset, m.File, id)
		inProgram[i].HasFunctions = named[i] != nil
	}
	text := kernel.progs[0]
	inKernel := b.mapping(text.Vaddr, text.Vaddr+text.Memsz, text.Off, "[kernel]", kernel.id)
	program := func(pc, addr uint64) *profile.Location {
		for i, m := range c.Program {
			if addr < m.Start || addr >= m.Limit {
				continue
			}
			function, file, line := "", "", 0
			if s := named[i]; s != nil {
				if at, ok := s.address(addr - m.Start + m.Offset); ok {
					function, file, line = s.name(at)
				}
			}
			return b.location(addr, inProgram[i], pc, function, file, line)
		}
		return nil
	}
	for _, s := range c.Samples {
		var stack []*profile.Location
		for i, pc := range s.PCs {
			addr := pc
			if i > 0 { // it is where a call returns to
				addr--
			}
			if s.TID == 0 {
				addr |= kernelHalf
				function, file, line := kernel.name(addr)
				if function == "" {
					break
				}
				stack = append(stack, b.location(addr, inKernel, addr, kernelPrefix+function, file, line))
				continue
			}
			l := program(pc, addr)
			if l == nil && i > 0 {
				break // it had no frame pointer
			}
			if l == nil { // code that it made, or the vDSO
				l = b.location(addr, nil, pc, "", "", 0)
			}
			stack = append(stack, l)
		}
		thread := ""
		if s.TID != 0 {
			thread = fmt.Sprint(s.TID)
		}
		if len(stack) == 0 {
			stack = []*profile.Location{b.named("[not recorded]", "", 0)}
		}
		b.add(thread, stack, 1, int64(period))
	}
	return b.encode()
}
