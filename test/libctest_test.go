package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// libcTestNeeds says which of libc-test's programs need what is not there yet, or not in
// the VM; glibcTestNeeds which do if they are linked with glibc.
var libcTestNeeds = map[string]string{
	"fork": "daemon-failure execle-env fcntl fflush-exit popen pthread_atfork-errno-clobber pthread_exit-dtor raise-race spawn vfork",
	"System V IPC, which is left out as in a kernel without CONFIG_SYSVIPC": "ipc_msg ipc_sem ipc_shm",
}

var (
	muslTestNeeds = map[string]string{"crypt.h, which Debian's musl has not": "crypt"}

	glibcTestNeeds = map[string]string{
		"strlcpy, which glibc 2.36 has not":                                 "string",
		"a locale, which is the host's file":                                "fgetwc-buffering mbc swprintf",
		"libraries for names of users, which even the host fails to load":   "getpwnam_r-crash getpwnam_r-errno",
		"luck: which thread is first is not the same twice, as on the host": "pthread_cancel-points",
		"an end: its loop stops when all memory is taken":                   "setvbuf-unget",
	}
)

// TestLibcTest compares musl's libc-test with the host, every program of it
// linked statically, with musl and with glibc. It is not part of this project: GOSV_LIBC_TEST names a
// directory that has its source (git://repo.or.cz/libc-test).
func TestLibcTest(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("GOSV_LIBC_TEST")
	if dir == "" {
		t.Skip("SKIPPED: GOSV_LIBC_TEST names no directory with libc-test's source")
	}
	var tests, common []string
	for _, pattern := range []string{"functional", "regression", "common"} {
		list, err := filepath.Glob(filepath.Join(dir, "src", pattern, "*.c"))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s has no src/%s/*.c: %v", dir, pattern, err)
		}
		if pattern != "common" {
			tests = append(tests, list...)
			continue
		}
		for _, src := range list {
			if name := filepath.Base(src); name != "runtest.c" && name != "mtest.c" {
				common = append(common, src)
			}
		}
	}
	t.Run("musl", func(t *testing.T) { libcTest(t, musl, dir, tests, common, libcTestNeeds, muslTestNeeds) })
	t.Run("glibc", func(t *testing.T) {
		libcTest(t, glibc, dir, tests, append(common, "-lcrypt"), libcTestNeeds, glibcTestNeeds)
	})
}

// libcTest compares those programs, built with the compiler cc, but for those that need
// what is not there.
func libcTest(t *testing.T, cc libc, dir string, tests, common []string, needs ...map[string]string) {
	if _, err := exec.LookPath(string(cc)); err != nil {
		t.Skipf("SKIPPED: no %s here", cc)
	}
	out := t.TempDir()
	for _, src := range tests {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		if strings.HasSuffix(name, "_dso") || strings.Contains(name, "dlopen") || strings.Contains(name, "new-dtv") {
			continue // parts of others, and what needs dynamic linking
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, list := range needs {
				for what, names := range list {
					if strings.Contains(" "+names+" ", " "+name+" ") {
						t.Skip("SKIPPED: it needs ", what)
					}
				}
			}
			prog := filepath.Join(out, name)
			argv := append([]string{string(cc), "-static", "-w", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-fno-builtin", "-frounding-math",
				"-I" + filepath.Join(dir, "src", "common"), "-o", prog, src}, common...)
			if dso := strings.TrimSuffix(src, ".c") + "_dso.c"; exists(dso) {
				argv = append(argv, dso)
			}
			if b, err := exec.Command(argv[0], append(argv[1:], "-lpthread", "-lm", "-lrt")...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			o := options{dir: out}
			host := runHost(t, o, prog)
			flags := []string{"-m", "512"}
			if name == "socket" {
				flags = append(flags, "--net", "lo")
			}
			compare(t, run(t, microvm, options{flags: flags, dir: "/tmp"}, prog), host)
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
