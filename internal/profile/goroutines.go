package profile

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Goroutines makes a profile of a traceback of all goroutines of the kernel
// (runtime.Stack).
func Goroutines(traceback string, now time.Time) ([]byte, error) {
	count := &profile.ValueType{Type: "goroutine", Unit: "count"}
	b := newBuilder(count)
	b.p.PeriodType, b.p.Period, b.p.TimeNanos = count, 1, now.UnixNano()
	for block := range strings.SplitSeq(traceback, "\n\n") {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		if !strings.HasPrefix(lines[0], "goroutine ") {
			continue
		}
		var stack []*profile.Location
		for i := 1; i < len(lines); i++ {
			function := frameName(lines[i])
			file, line := "", 0
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
				i++
				file, line = framePlace(lines[i])
			}
			stack = append(stack, b.named(kernelPrefix+function, file, line))
		}
		if len(stack) > 0 {
			b.add("", stack, 1)
		}
	}
	return b.encode()
}

// frameName is the function of a line like "linux.(*Thread).run(0xc000012345, ...)" or
// "created by guest.Main in goroutine 1".
func frameName(line string) string {
	if f, ok := strings.CutPrefix(line, "created by "); ok {
		f, _, _ = strings.Cut(f, " in goroutine ")
		return f
	}
	if i := strings.LastIndexByte(line, '('); i > 0 && strings.HasSuffix(line, ")") {
		return line[:i]
	}
	return line
}

// framePlace reads "\tfile:line +0x123".
func framePlace(line string) (file string, n int) {
	place, _, _ := strings.Cut(strings.TrimSpace(line), " +0x")
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return place, 0
	}
	n, _ = strconv.Atoi(place[i+1:])
	if place[:i] == "?" {
		return "", n
	}
	return place[:i], n
}
