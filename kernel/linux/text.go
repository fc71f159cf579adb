package linux

import "strconv"

// Package strings stays out of the kernel: its tables of letters cost 5,000
// instructions of every boot.

// cut returns what is before and after the first sep in s.
func cut(s string, sep byte) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// trimSpace returns s without white space at its ends.
func trimSpace(s string) string {
	for len(s) > 0 && s[0] <= ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] <= ' ' {
		s = s[:len(s)-1]
	}
	return s
}

// baseName is the last part of a path.
func baseName(path string) string {
	for {
		_, after, found := cut(path, '/')
		if !found {
			return path
		}
		path = after
	}
}

// parseInt reads a decimal number with an optional sign. With strconv come its
// errors, which quote what they are about, and would be six kilobytes.
func parseInt(s string) (n int64, ok bool) {
	negative := s != "" && s[0] == '-'
	if negative || s != "" && s[0] == '+' {
		s = s[1:]
	}
	for i := range len(s) {
		d := int64(s[i]) - '0'
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if negative {
		n = -n
	}
	return n, s != ""
}

// mib is n bytes in MiB, as text.
func mib(n uint64) string { return strconv.FormatUint(n>>20, 10) + " MiB" }

// text is what a file in /proc holds while it is written. Its methods are not
// inlined: what is written with them would be twice as large.
type text struct{ b []byte }

//go:noinline
func (x *text) str(s ...string) {
	for _, s := range s {
		x.b = append(x.b, s...)
	}
}

//go:noinline
func (x *text) num(n uint64) { x.b = strconv.AppendUint(x.b, n, 10) }

// nums writes numbers with a space before each.
//
//go:noinline
func (x *text) nums(n ...int64) {
	for _, n := range n {
		x.b = strconv.AppendInt(append(x.b, ' '), n, 10)
	}
}

// hex writes n with at least width digits.
//
//go:noinline
func (x *text) hex(n uint64, width int) {
	var d [16]byte
	s := strconv.AppendUint(d[:0], n, 16)
	for i := len(s); i < width; i++ {
		x.b = append(x.b, '0')
	}
	x.b = append(x.b, s...)
}

// pad fills the line that began at from with spaces up to width.
//
//go:noinline
func (x *text) pad(from, width int) {
	for len(x.b) < from+width {
		x.b = append(x.b, ' ')
	}
}

// right writes s at the right of width columns.
//
//go:noinline
func (x *text) right(s string, width int) {
	x.pad(len(x.b), width-len(s))
	x.str(s)
}

// hundredths writes ns as seconds with two decimals.
func (x *text) hundredths(ns uint64) {
	x.num(ns / second)
	c := ns / (second / 100) % 100
	x.b = append(x.b, '.', byte('0'+c/10), byte('0'+c%10))
}
