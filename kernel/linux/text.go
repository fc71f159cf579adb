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

// mib is n bytes in MiB, as text.
func mib(n uint64) string { return strconv.FormatUint(n>>20, 10) + " MiB" }
