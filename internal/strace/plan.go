// Package strace prints system calls and signals that the kernel reports, as
// strace(1) does: what the words for arguments in the kernel's table of calls
// mean is here.
package strace

import (
	"fmt"
	"slices"
	"strings"

	"gosv/internal/abi"
	"gosv/internal/diag"
	"gosv/internal/trace"
)

// structs has the words for pointers to structures that a call reads, and their
// sizes in bytes.
var structs = map[string]int{
	"ts": 16, "tv": 16, "itv": 32, "itspec": 32, "ts2": 32, "tv2": 32, "utimbuf": 16,
	"sigset": 8, "sigact": 32, "sigstack": 24, "siginfo": 32, "sigev": 16, "sigmask": 16,
	"rlimit": 16, "epev": 12, "openhow": 24, "schedparam": 4, "caphead": 8, "capdata": 24,
	"seltv": 16, "futexts": 16, "off": 8,
}

// results has those for structures that a call fills in.
var results = map[string]int{
	"ots": 16, "otv": 16, "oitv": 32, "oitspec": 32, "osigset": 8, "osigact": 32, "osigstack": 24, "osiginfo": 32,
	"orlimit": 16, "fds": 8, "uname": 390, "stat": 144, "statx": 256, "statfs": 120, "orusage": 144, "osysinfo": 112,
	"otms": 32, "wstatus": 4, "oint": 4, "oschedparam": 4, "ocapdata": 24, "rem": 16, "archarg": 8, "otid": 4,
}

const (
	maxShown  = 32 // bytes of a string or buffer, and elements of a list
	maxPath   = 4096
	maxDents  = 8192
	sigFrame  = 304 // up to the end of the mask in a signal's ucontext
	prctlName = 16
	ioctlArg  = 36 // struct termios
	structFD  = 32 // struct flock
	maxAddr   = 110
	maxCPUs   = 128
)

// capturesOf returns what to capture for argument i, described by word.
func capturesOf(word string, i int) []trace.Capture {
	arg := func(n int) byte { return byte(max(min(n, 5), 0)) }
	bytes := func(size int) trace.Capture {
		return trace.Capture{Arg: i, How: diag.Bytes, Count: diag.One, Size: size, Max: size}
	}
	list := func(count byte, size, most int) trace.Capture {
		return trace.Capture{Arg: i, How: diag.Bytes, Count: count, Size: size, Max: size * most}
	}
	text := func(how byte, most int) trace.Capture {
		return trace.Capture{Arg: i, How: how, Count: diag.One, Size: 1, Max: most}
	}
	vector := trace.Capture{Arg: i, How: diag.Vector, Count: arg(i + 1), Size: 1, Max: maxShown}
	out := func(c trace.Capture) trace.Capture { c.OnExit = true; return c }
	one := func(c trace.Capture) []trace.Capture { return []trace.Capture{c} }
	both := func(c trace.Capture) []trace.Capture { return []trace.Capture{c, out(c)} }

	if n, ok := structs[word]; ok {
		if word == "seltv" || word == "off" {
			return both(bytes(n))
		}
		return one(bytes(n))
	}
	if n, ok := results[word]; ok {
		return one(out(bytes(n)))
	}
	switch word {
	case "path":
		return one(text(diag.String, maxPath))
	case "str":
		return one(text(diag.String, maxShown+1))
	case "ostr":
		return one(out(text(diag.String, maxPath)))
	case "strv":
		return one(trace.Capture{Arg: i, How: diag.Strings, Count: diag.One, Size: 1, Max: maxShown + 1})
	case "in":
		return one(list(arg(i+1), 1, maxShown))
	case "out", "ohex":
		return one(out(list(diag.Result, 1, maxShown)))
	case "iov":
		return one(vector)
	case "iovout":
		return one(out(vector))
	case "pollfds":
		return both(list(arg(i+1), 8, maxShown))
	case "fdset":
		return both(list(arg(0), 1, maxCPUs))
	case "epevs":
		return one(out(list(diag.Result, 12, maxShown)))
	case "dents", "dents64":
		return one(out(list(diag.Result, 1, maxDents)))
	case "cpuset":
		return one(list(arg(i-1), 1, maxCPUs))
	case "ocpuset":
		return one(out(list(diag.Result, 1, maxCPUs)))
	case "groups":
		return one(list(arg(i-1), 4, maxShown))
	case "ogroups":
		return one(out(list(diag.Result, 4, maxShown)))
	case "cloneargs":
		return one(list(arg(i+1), 1, 88))
	case "sockaddr":
		return one(list(arg(i+1), 1, maxAddr))
	case "osockaddr":
		return one(out(list(diag.At+arg(i+1), 1, maxAddr)))
	case "fcntlarg":
		return both(bytes(structFD))
	case "ioctlarg":
		return both(bytes(ioctlArg))
	case "prctlarg":
		return both(text(diag.String, prctlName))
	case "frame":
		return one(trace.Capture{Arg: diag.StackPointer, How: diag.Bytes, Count: diag.One, Size: sigFrame, Max: sigFrame})
	}
	return nil
}

// plain are the words for arguments that no memory belongs to, besides those that
// names has.
var plain = []string{"fd", "at", "d", "u", "x", "p", "mode", "sig", "map", "open", "oflags", "futex", "clone", "socktype", "dev", "filemode"}

// Known says whether word is one that this package knows.
func Known(word string) bool {
	return slices.Contains(plain, word) || names(word) != nil || capturesOf(word, 1) != nil
}

// callPlan says what to report of a call.
func callPlan(c *abi.Call) trace.CallPlan {
	p := trace.CallPlan{Args: len(c.Args), NoReturn: c.Name == "exit" || c.Name == "exit_group"}
	for i, word := range c.Args {
		p.Captures = append(p.Captures, capturesOf(word, i)...)
	}
	return p
}

// Select returns what to report of the calls that a list names, as of strace's -e
// trace=: names and classes with commas between them, "!" before it for all
// others. "all" are all.
func Select(list string) (map[int]trace.CallPlan, error) {
	not := strings.HasPrefix(list, "!")
	chosen := map[int]bool{}
	for _, name := range strings.Split(strings.TrimPrefix(list, "!"), ",") {
		class, isClass := strings.CutPrefix(name, "%")
		c, found := abi.Find(name)
		switch {
		case name == "all":
			class = "all"
		case isClass && !slices.Contains(Classes, class):
			return nil, fmt.Errorf("there is no class of system calls %%%s; there are %%%s", class, strings.Join(Classes, ", %"))
		case isClass:
		case !found:
			return nil, abi.Unknown(name)
		default:
			chosen[c.Number] = true
			continue
		}
		for _, c := range abi.Calls() {
			if class == "all" || inClass(class, &c) {
				chosen[c.Number] = true
			}
		}
	}
	plan := map[int]trace.CallPlan{}
	for _, c := range abi.Calls() {
		if chosen[c.Number] != not {
			plan[c.Number] = callPlan(&c)
		}
	}
	return plan, nil
}

// Classes of system calls, as strace has them.
var Classes = []string{"file", "desc", "memory", "signal", "process", "network", "clock", "creds"}

// inClass says whether a call belongs to a class.
func inClass(class string, c *abi.Call) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(c.Args, func(w string) bool { return slices.Contains(words, w) })
	}
	in := func(list string) bool { return slices.Contains(strings.Fields(list), c.Name) }
	switch class {
	case "file":
		return has("path") || in("getcwd")
	case "desc":
		return has("fd", "at", "fds", "pollfds", "fdset") || in("epoll_create epoll_create1 eventfd eventfd2 timerfd_create memfd_create inotify_init inotify_init1 socket close_range")
	case "memory":
		return in("brk mmap munmap mprotect mremap madvise msync mincore mlock mlock2 munlock mlockall munlockall pkey_mprotect membarrier " +
			"mbind set_mempolicy get_mempolicy migrate_pages move_pages remap_file_pages process_madvise userfaultfd mseal")
	case "signal":
		return strings.HasPrefix(c.Name, "rt_sig") || in("kill tkill tgkill sigaltstack pause signalfd signalfd4 pidfd_send_signal")
	case "process":
		return in("clone clone3 fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill arch_prctl pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo unshare")
	case "network":
		return in("socket connect accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt")
	case "clock":
		return strings.HasPrefix(c.Name, "clock_") || in("gettimeofday settimeofday time adjtimex")
	case "creds":
		return in("getuid getgid geteuid getegid setuid setgid setreuid setregid setresuid getresuid setresgid getresgid setfsuid setfsgid getgroups setgroups capget capset prctl")
	}
	return false
}
