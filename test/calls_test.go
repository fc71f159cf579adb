package test

import (
	"bufio"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var (
	callSeeds = flag.Int("calls.seeds", 8, "how many sequences of random system calls of each family to compare with the host")
	callFrom  = flag.Int("calls.from", 0, "the first one's number")
)

// callFamilies are the families of test/programs/calls.
var callFamilies = []string{"files", "pipes", "memory", "signals", "process", "watches", "timers", "signalfds",
	"locks", "futexes", "maps", "epolls", "directories", "roots", "edges-files", "edges-pipes", "edges-process", "edges-others",
	"ptys", "sockets", "edges-sockets"}

// calls runs the program calls in a VM and on the host, each in an empty
// directory of a tmpfs.
func calls(t *testing.T, args ...string) (vm, host result) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: all programs in a VM are root's: run the tests as root")
	}
	dir, err := os.MkdirTemp("/dev/shm", "gosv-calls-")
	if err != nil {
		t.Skip("SKIPPED: no tmpfs on /dev/shm: ", err)
	}
	defer os.RemoveAll(dir)
	prog := goProgram(t, "test/programs/calls")
	// None of the Go runtime's own signals, threads and descriptors among the calls.
	env := []string{"GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0", "GOGC=off"}
	host = runHost(t, options{dir: dir, env: env}, prog, args...)
	// That program collects no garbage.
	vm = run(t, microvm, options{dir: "/tmp", env: env, flags: []string{"-m", "512"}}, prog, args...)
	return vm, host
}

// callLines are the calls in a program's output, one a line, without the bytes
// that they were drawn by, and those.
func callLines(r result) (lines, drawn []string) {
	for line := range strings.Lines(r.stdout) {
		call, bytes, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		lines, drawn = append(lines, call), append(drawn, bytes)
	}
	return lines, drawn
}

// sameCalls fails the test at the first call whose result differs. What comes
// after it in its sequence may well differ too.
func sameCalls(t *testing.T, family string, vm, host result) {
	t.Helper()
	v, _ := callLines(vm)
	h, drawn := callLines(host)
	if host.code != 0 {
		t.Fatalf("on the host: %v", host)
	}
	start := 0 // of the sequence
	for i := range max(len(v), len(h)) {
		if i < len(h) && strings.HasPrefix(h[i], "seed ") {
			start = i + 1
			if f := strings.Fields(h[i]); len(f) == 3 { // of the corpus
				family = f[1]
			}
		}
		if i < len(v) && i < len(h) && v[i] == h[i] {
			continue
		}
		got, want := "nothing more", "nothing more"
		if i < len(v) {
			got = v[i]
		}
		if i < len(h) {
			want = h[i]
		}
		before := h[max(start, i-12):min(i, len(h))]
		t.Fatalf("after\n  %s\nthe VM says\n  %s\nthe host\n  %s\nagain: calls replay %s %s\nin the VM: exit code %d %s\non the host: exit code %d %s",
			strings.Join(before, "\n  "), got, want, family, strings.Join(drawn[start:min(i+1, len(drawn))], ""),
			vm.code, abbreviate(vm.stderr), host.code, abbreviate(host.stderr))
	}
	compare(t, result{command: vm.command, code: vm.code, stderr: vm.stderr}, result{command: host.command, code: host.code, stderr: host.stderr})
}

// TestCallsLikeHost makes random system calls in a VM and on the host.
func TestCallsLikeHost(t *testing.T) {
	t.Parallel()
	const length = 300
	for _, family := range callFamilies {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			vm, host := calls(t, family, strconv.Itoa(*callFrom), strconv.Itoa(*callFrom+*callSeeds), strconv.Itoa(length))
			if calls, _ := callLines(host); len(calls) < *callSeeds*length {
				t.Errorf("%d sequences are of %d calls", *callSeeds, len(calls))
			}
			sameCalls(t, family, vm, host)
		})
	}
}

// TestCallsCorpus makes the sequences again that once differed.
func TestCallsCorpus(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("testdata", "calls"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var sequences []string
	for lines.Scan() {
		family, bytes, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			continue
		}
		sequences = append(sequences, family, bytes)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	vm, host := calls(t, append([]string{"replay"}, sequences...)...)
	sameCalls(t, "", vm, host)
}

// sweepDiffers are calls, and arguments of theirs, of which a sweep shows differences that
// are not mistakes: the host's Linux is newer than 6.1, or what is there is not the same.
var sweepDiffers = map[string]string{
	"utimensat 1":        "an eventfd and its like: EOPNOTSUPP since 6.15",
	"fchmod 1":           "the same",
	"fchown 1":           "the same",
	"fchown 2":           "the same",
	"write 2":            "an eventfd takes 8 bytes and no more since 6.18",
	"readv 1":            "what cannot be read is told before its buffers are looked at since 6.13",
	"readv 2":            "the same",
	"writev 1":           "the same",
	"writev 2":           "the same",
	"preadv2 2":          "the same",
	"pwritev2 2":         "the same",
	"epoll_wait 1":       "the descriptor is looked at first since 6.18",
	"epoll_wait 2":       "the same",
	"epoll_pwait 1":      "the same",
	"epoll_pwait 2":      "the same",
	"epoll_pwait2 1":     "the same",
	"epoll_pwait2 2":     "the same",
	"fgetxattr 1":        "the name is looked at first since 6.13",
	"ioctl 1":            "epoll has some since 6.9, and files on disks FIBMAP",
	"ioctl 2":            "the same",
	"ioctl 0":            "standard output is a pipe on the host",
	"preadv2 0":          "standard input and output are pipes on the host",
	"pwritev2 0":         "the same",
	"sendfile 1":         "the same",
	"timer_settime 0":    "the numbers of timers",
	"timer_gettime 0":    "the same",
	"timer_getoverrun 0": "the same",
	"timer_delete 0":     "the same",
	"get_robust_list 0":  "process 1 is another",
}

// TestCallsSweep makes each call with each argument wrong in each way, on descriptors of
// all kinds.
func TestCallsSweep(t *testing.T) {
	t.Parallel()
	vm, host := calls(t, "sweep", "files", "pipes", "process", "signals", "sockets", "watches", "timers", "signalfds", "locks", "futexes", "epolls", "directories")
	v, h := strings.Split(vm.stdout, "\n"), strings.Split(host.stdout, "\n")
	if len(v) != len(h) || vm.code != 0 || host.code != 0 {
		t.Fatalf("%d lines in the VM, %d on the host\nin the VM: exit code %d %s\non the host: exit code %d %s",
			len(v), len(h), vm.code, abbreviate(vm.stderr), host.code, abbreviate(host.stderr))
	}
	shown := 0
	for i := range v {
		name, _, _ := strings.Cut(h[i], ":")
		call, rest, _ := strings.Cut(name, " of ")
		if v[i] == h[i] || sweepDiffers[call+rest[max(0, strings.LastIndexByte(rest, 0x20)):]] != "" {
			continue
		}
		if shown++; shown <= 20 {
			t.Errorf("the VM says\n  %s\nthe host\n  %s", v[i], h[i])
		}
	}
}
