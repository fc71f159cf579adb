// Package trace reads what the kernel reports of an application (package diag)
// and says what it shall report.
package trace

import (
	"encoding/binary"
	"maps"
	"slices"

	"gosv/internal/diag"
)

// Plan says what the kernel shall report.
type Plan struct {
	Schedule bool
	Core     bool
	Profile  bool
	Heap     bool
	Calls    map[int]CallPlan // by number
}

// Add makes p report what o does, too. What is reported of a call is the same in all plans.
func (p *Plan) Add(o *Plan) {
	p.Schedule = p.Schedule || o.Schedule
	p.Core = p.Core || o.Core
	p.Profile = p.Profile || o.Profile
	p.Heap = p.Heap || o.Heap
	maps.Copy(p.Calls, o.Calls)
}

// CallPlan is what to report of a system call.
type CallPlan struct {
	Args     int // how many it has
	NoReturn bool
	Captures []Capture
}

// Capture is memory to report with a call: see package diag.
type Capture struct {
	Arg    int
	How    byte
	OnExit bool
	Count  byte
	Size   int
	Max    int
}

// Encode returns the plan as the kernel takes it, nil if there is nothing to report.
func (p *Plan) Encode() []byte {
	var flags byte
	if p.Schedule {
		flags |= diag.Schedule
	}
	if p.Core {
		flags |= diag.Core
	}
	if p.Profile {
		flags |= diag.Profile
	}
	if p.Heap {
		flags |= diag.Heap
	}
	if flags == 0 && len(p.Calls) == 0 {
		return nil
	}
	b := []byte{flags}
	for _, nr := range slices.Sorted(maps.Keys(p.Calls)) {
		c := p.Calls[nr]
		b = binary.LittleEndian.AppendUint16(b, uint16(nr))
		b = append(b, byte(c.Args), 0, byte(len(c.Captures)))
		if c.NoReturn {
			b[len(b)-2] = diag.NoReturn
		}
		for _, k := range c.Captures {
			how := k.How
			if k.OnExit {
				how |= diag.OnExit
			}
			b = append(b, byte(k.Arg), how, k.Count)
			b = binary.LittleEndian.AppendUint16(b, uint16(k.Size))
			b = binary.LittleEndian.AppendUint16(b, uint16(k.Max))
		}
	}
	return b
}
