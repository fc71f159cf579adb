package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// noticed are the events that a read of an inotify descriptor brings, or part of one.
func noticed(g *world) (uintptr, string, after) {
	b := g.buffer(4096)
	return addr(b), "out", func(r uintptr) string {
		var text strings.Builder
		for b := b[:r]; len(b) >= 16; {
			n := 16 + int(binary.LittleEndian.Uint32(b[12:]))
			if n > len(b) {
				return " " + sum(b) // of something else
			}
			cookie := 0
			if c := binary.LittleEndian.Uint32(b[8:]); c != 0 {
				if !slices.Contains(g.cookies, c) {
					g.cookies = append(g.cookies, c)
				}
				cookie = 1 + slices.Index(g.cookies, c)
			}
			fmt.Fprintf(&text, " {%d %#x %d %q}", int32(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:]), cookie, b[16:n])
			b = b[n:]
		}
		return text.String()
	}
}

var watched = bits(unix.IN_ALL_EVENTS, unix.IN_ALL_EVENTS, unix.IN_MODIFY, unix.IN_CREATE|unix.IN_DELETE, unix.IN_MOVE, unix.IN_ATTRIB, unix.IN_OPEN|unix.IN_CLOSE,
	unix.IN_DELETE_SELF|unix.IN_MOVE_SELF, unix.IN_ONLYDIR, unix.IN_DONT_FOLLOW, unix.IN_EXCL_UNLINK, unix.IN_MASK_ADD, unix.IN_ONESHOT, unix.IN_MASK_CREATE)

var watchCalls = []call{
	{"inotify_init1", unix.SYS_INOTIFY_INIT1, []arg{val(unix.IN_NONBLOCK, unix.IN_NONBLOCK, unix.IN_NONBLOCK|unix.IN_CLOEXEC, 1<<5)}, newFD},
	{"inotify_init1", unix.SYS_INOTIFY_INIT1, []arg{val(unix.IN_NONBLOCK)}, newFD},
	{"inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, []arg{fd, path, watched}, number},
	{"inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, []arg{fd, path, watched}, number},
	{"inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, []arg{fd, path, val(unix.IN_ALL_EVENTS)}, number},
	{"inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, []arg{fd, path, val(unix.IN_ALL_EVENTS)}, number},
	{"inotify_rm_watch", unix.SYS_INOTIFY_RM_WATCH, []arg{fd, val(1, 2, 3, 4, 0, -1)}, number},
	{"read", unix.SYS_READ, []arg{fd, noticed, val(4096, 4096, 100, 48, 16, 15, 0)}, number},
	{"read", unix.SYS_READ, []arg{fd, noticed, val(4096)}, number},
	{"read", unix.SYS_READ, []arg{fd, noticed, val(4096)}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, val(1, 100)}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, val(0, 100)}, number},
	{"fchmod", unix.SYS_FCHMOD, []arg{named, val(0o600, 0o644)}, number},
	{"ioctl", unix.SYS_IOCTL, []arg{fd, val(unix.TIOCINQ), filled(func(v *int32) string { return fmt.Sprint(*v) })}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(4), val(0)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
}
