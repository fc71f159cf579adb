package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Heap makes a profile of /proc/gosv/heap, which tells what the kernel's heap has in all
// and what was sampled of it, and of the kernel's ELF file. What was allocated while
// nobody sampled has no stacks: it is there by size.
func Heap(text string, kernel []byte, began time.Time, took time.Duration) ([]byte, error) {
	symbols, err := readSymbols(kernel)
	if err != nil {
		return nil, fmt.Errorf("the kernel: %w", err)
	}
	space := &profile.ValueType{Type: "space", Unit: "bytes"}
	b := newBuilder(&profile.ValueType{Type: "alloc_objects", Unit: "count"}, &profile.ValueType{Type: "alloc_space", Unit: "bytes"},
		&profile.ValueType{Type: "inuse_objects", Unit: "count"}, &profile.ValueType{Type: "inuse_space", Unit: "bytes"})
	b.p.DefaultSampleType = "inuse_space"
	b.p.PeriodType, b.p.TimeNanos, b.p.DurationNanos = space, began.UnixNano(), int64(took)
	prog := symbols.progs[0]
	inKernel := b.mapping(prog.Vaddr, prog.Vaddr+prog.Memsz, prog.Off, "[kernel]", symbols.id)

	type class struct{ size, inUse int64 }
	var classes []class // by size, objects that have no stack
	var all int64       // bytes in use that have no stack
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		v := make([]int64, len(f)-1)
		for i, s := range f[1:] {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("/proc/gosv/heap: %q makes no sense", line)
			}
			v[i] = n
		}
		switch {
		case f[0] == "heap" && len(v) == 2 && v[1] > 0:
			all, b.p.Period = v[0], v[1]
		case f[0] == "size" && len(v) == 3:
			classes = append(classes, class{v[0], v[1] - v[2]})
		case f[0] == "at" && len(v) >= 3 && b.p.Period > 0 && v[0] > 0:
			var stack []*profile.Location
			for _, pc := range v[3:] {
				addr := uint64(pc) - 1 | kernelHalf // of the call
				function, file, line := symbols.name(addr)
				allocator := len(stack) == 0 && (strings.HasPrefix(function, "runtime.") || strings.HasPrefix(function, "internal/runtime/"))
				if function != "" && !allocator {
					stack = append(stack, b.location(addr, inKernel, addr, kernelPrefix+function, file, line))
				}
			}
			if len(stack) == 0 {
				stack = []*profile.Location{b.named("[the Go runtime]", "", 0)}
			}
			allocs, inUse := unsample(v[1], v[0], b.p.Period), unsample(v[1]-v[2], v[0], b.p.Period)
			b.add("", stack, allocs, allocs*v[0], inUse, inUse*v[0])
			all -= inUse * v[0]
			for i := range classes {
				if classes[i].size >= v[0] {
					classes[i].inUse -= inUse
					break
				}
			}
		default:
			return nil, fmt.Errorf("/proc/gosv/heap: %q makes no sense", line)
		}
	}
	for _, c := range classes {
		if c.inUse > 0 {
			b.add("", []*profile.Location{b.named(fmt.Sprintf("[not sampled: up to %d bytes]", c.size), "", 0)}, 0, 0, c.inUse, c.inUse*c.size)
			all -= c.inUse * c.size
		}
	}
	if all > 0 {
		b.add("", []*profile.Location{b.named("[not sampled: larger]", "", 0)}, 0, 0, 0, all)
	}
	return b.encode()
}

// unsample estimates how many objects of a size there were if count were sampled at a mean
// distance of rate bytes, as package runtime/pprof does.
func unsample(count, size, rate int64) int64 {
	if rate <= 1 {
		return count
	}
	return int64(float64(count) / (1 - math.Exp(-float64(size)/float64(rate))))
}
