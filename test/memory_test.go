package test

import (
	"os"
	"strings"
	"testing"
)

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

// TestBounds: limits that bind a program without capabilities.
func TestBounds(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: all programs in a VM are root's: run the tests as root")
	}
	same(t, options{}, cProgram(t, glibc, "bounds"))
}

// TestExhaustion: whatever a program takes all of, it is told so by an error that
// Linux has for it, or it is killed and the kernel says why.
func TestExhaustion(t *testing.T) {
	t.Parallel()
	sizes := []string{"16"}
	if *stress {
		sizes = append(sizes, "64", "256")
	}
	prog := cProgram(t, glibc, "exhaust")
	for how, killed := range map[string]bool{
		"memory": true, "shared": true, "tables": true,
		"file": false, "files": false, "directories": false, "memfds": false, "pipes": false, "descriptors": false, "accept": false, "epoll": false,
		"timers": false, "threads": false, "mappings": false, "signals": false, "locks": false,
	} {
		for _, size := range sizes {
			t.Run(how+" "+size, func(t *testing.T) {
				t.Parallel()
				r := run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-m", size}, options{}, prog, how)
				if killed && r.code == 137 && strings.HasPrefix(r.stderr, "out of memory: ") {
					return
				}
				if killed && r.code == 5 && strings.HasPrefix(r.stdout, "alive") && r.stderr == "" {
					return // an mmap came too late, not a page
				}
				if killed || r.code != 5 || !strings.Contains(r.stdout, ": stopped by ") || !strings.Contains(r.stdout, "\nalive") || r.stderr != "" {
					t.Errorf("%v", r)
				}
			})
		}
	}
}

// TestLetGo: the kernel's garbage is not what a program is ended for, or a file is full for.
func TestLetGo(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "letgo")
	for _, size := range []string{"24", "64"} {
		for _, args := range [][]string{{}, {"file"}} {
			if r := run(t, machine{"--vmm", "qemu", "--accel", "tcg", "-m", size}, options{}, prog, args...); r.code != 7 || r.stdout != "there\n" {
				t.Errorf("%v with %s MiB: %v", args, size, r)
			}
		}
	}
}
