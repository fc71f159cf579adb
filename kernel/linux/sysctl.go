package linux

import (
	"gosv/kernel/mm"
	"gosv/kernel/tty"
)

// The directory /proc/sys.
var sysctls = [...]procFile{
	{name: "fs", mode: procDir, files: []procFile{
		{name: "inotify", mode: procDir, files: []procFile{
			{name: "max_queued_events", mode: procRead, read: func(s *subject, b *text) { b.num(inotifyEvents); b.str("\n") }},
			{name: "max_user_instances", mode: procRead, read: func(s *subject, b *text) { b.num(inotifyInstances); b.str("\n") }},
			{name: "max_user_watches", mode: procRead, read: func(s *subject, b *text) { b.num(inotifyWatches); b.str("\n") }},
		}},
		{name: "aio-max-nr", mode: procRead, text: "65536\n"},
		{name: "epoll", mode: procDir, files: []procFile{{name: "max_user_watches", mode: procRead, text: "65536\n"}}},
		{name: "file-nr", mode: procRead, text: "0\t0\t9223372036854775807\n"},
		{name: "inode-nr", mode: procRead, text: "0\t0\n"},
		{name: "mqueue", mode: procDir, files: []procFile{{name: "msg_max", mode: procRead, text: "10\n"}}},
		{name: "protected_hardlinks", mode: procRead, text: "0\n"},
		{name: "protected_symlinks", mode: procRead, text: "0\n"},
		{name: "file-max", mode: procRead, text: "9223372036854775807\n"},
		{name: "nr_open", mode: procRead, read: func(s *subject, b *text) { b.num(maxOpenFiles); b.str("\n") }},
		{name: "pipe-max-size", mode: procRead, read: func(s *subject, b *text) { b.num(pipeMost); b.str("\n") }},
		{name: "pipe-user-pages-hard", mode: procRead, text: "0\n"},
		{name: "pipe-user-pages-soft", mode: procRead, text: "16384\n"},
	}},
	{name: "kernel", mode: procDir, files: []procFile{
		{name: "cap_last_cap", mode: procRead, read: func(s *subject, b *text) { b.num(lastCapability); b.str("\n") }},
		{name: "core_pattern", mode: procRead, text: "core\n"},
		{name: "domainname", mode: procRead, read: func(s *subject, b *text) { b.str(noneOr(s.k.hostName(&s.k.domainName)), "\n") }},
		{name: "hostname", mode: procRead, read: func(s *subject, b *text) { b.str(s.k.hostName(&s.k.HostName), "\n") }},
		{name: "dmesg_restrict", mode: procRead, text: "0\n"},
		{name: "io_uring_disabled", mode: procRead, text: "2\n"},
		{name: "msgmax", mode: procRead, text: "8192\n"},
		{name: "overflowgid", mode: procRead, text: "65534\n"},
		{name: "overflowuid", mode: procRead, text: "65534\n"},
		{name: "perf_event_paranoid", mode: procRead, text: "2\n"},
		{name: "printk", mode: procRead, text: "7\t4\t1\t7\n"},
		{name: "randomize_va_space", mode: procRead, text: "0\n"},
		{name: "sem", mode: procRead, text: "32000\t1024000000\t500\t32000\n"},
		{name: "shmall", mode: procRead, text: "18446744073692774399\n"},
		{name: "shmmax", mode: procRead, text: "18446744073692774399\n"},
		{name: "shmmni", mode: procRead, text: "4096\n"},
		{name: "ngroups_max", mode: procRead, text: "65536\n"},
		{name: "osrelease", mode: procRead, read: func(s *subject, b *text) { b.str(utsRelease, "\n") }},
		{name: "ostype", mode: procRead, read: func(s *subject, b *text) { b.str(utsSystem, "\n") }},
		{name: "pty", mode: procDir, files: []procFile{
			{name: "max", mode: procRead, read: func(s *subject, b *text) { b.num(tty.MaxPairs); b.str("\n") }},
			{name: "nr", mode: procRead, read: func(s *subject, b *text) { b.num(s.k.ptys.Count()); b.str("\n") }},
		}},
		{name: "pid_max", mode: procRead, read: func(s *subject, b *text) { b.num(maxID); b.str("\n") }},
		{name: "random", mode: procDir, files: []procFile{
			{name: "boot_id", mode: procRead, read: func(s *subject, b *text) { b.uuid(bootID()) }},
			{name: "entropy_avail", mode: procRead, text: "256\n"},
			{name: "poolsize", mode: procRead, text: "256\n"},
			{name: "uuid", mode: procRead, read: func(s *subject, b *text) { b.uuid(newUUID()) }},
		}},
		{name: "tainted", mode: procRead, text: "0\n"},
		{name: "threads-max", mode: procRead, read: func(s *subject, b *text) { b.num(maxThreads); b.str("\n") }},
		{name: "version", mode: procRead, read: func(s *subject, b *text) { b.str(utsVersion, "\n") }},
	}},
	{name: "net", mode: procDir, dir: sysctlNet},
	{name: "vm", mode: procDir, files: []procFile{
		{name: "min_free_kbytes", mode: procRead, text: "0\n"},
		{name: "nr_hugepages", mode: procRead, text: "0\n"},
		{name: "overcommit_ratio", mode: procRead, text: "50\n"},
		{name: "swappiness", mode: procRead, text: "0\n"},
		{name: "max_map_count", mode: procRead, read: func(s *subject, b *text) { b.num(mm.MaxMappings); b.str("\n") }},
		{name: "mmap_min_addr", mode: procRead, read: func(s *subject, b *text) { b.num(mm.MapBottom); b.str("\n") }},
		{name: "overcommit_memory", mode: procRead, text: "0\n"},
	}},
}

func (k *Kernel) hostName(name *string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return *name
}

func noneOr(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}

// newUUID returns a random UUID (RFC 9562 section 5.4).
func newUUID() (u [16]byte) {
	FillRandom(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// bootID stays the same from its first reading on.
func bootID() [16]byte {
	bootUUID.once.Do(func() { bootUUID.id = newUUID() })
	return bootUUID.id
}

func (x *text) uuid(u [16]byte) {
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			x.str("-")
		}
		x.hex(uint64(c), 2)
	}
	x.str("\n")
}
