package test

import "testing"

// TestMappings: anonymous memory, as mmap and its kin make, change and refuse it.
func TestMappings(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "mappings"))
}

// TestFileMappings: files as memory.
func TestFileMappings(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "filemaps"), "/dev/shm")
}
