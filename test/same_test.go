package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestHello(t *testing.T) {
	t.Parallel()
	for _, c := range []libc{glibc, musl} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, c, "hello"))
		})
	}
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		same(t, options{}, goProgram(t, "examples/hello"))
	})
}

// TestLinked: wherever a program wants to lie in the lower half, or if it lies
// anywhere, and what it is told of that.
func TestLinked(t *testing.T) {
	t.Parallel()
	t.Run("static-PIE", func(t *testing.T) {
		t.Parallel()
		same(t, options{}, cProgramAs(t, glibc, "auxv", "auxv-pie", "-static-pie", "-fPIE"))
	})
	for _, at := range []string{"0x10000", "0x400000", "0x70000000"} {
		t.Run("C at "+at, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgramAs(t, musl, "auxv", "auxv-"+at, "-static", "-Wl,-Ttext-segment="+at), "fixed")
		})
	}
	for _, at := range []string{"0x180001000", "0x7e0000001000"} { // Go's code minds no distance
		t.Run("Go at "+at, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, build(t, "hello-"+at, "go", "build", "-ldflags=-T="+at, "-o", filepath.Join(binDir, "hello-"+at), filepath.Join(root, "examples", "hello")))
		})
	}
}

// TestGoPackage: gosv builds a package itself.
func TestGoPackage(t *testing.T) {
	t.Parallel()
	expect(t, run(t, microvm, options{}, root+"/examples/hello"), "Hello from a microVM\n")
}

// TestGoRuntime: goroutines, garbage collection, timers, signals.
func TestGoRuntime(t *testing.T) {
	t.Parallel()
	same(t, options{}, goProgram(t, "test/programs/work"))
}

func TestArguments(t *testing.T) {
	t.Parallel()
	many := make([]string, 1000)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	for name, args := range map[string][]string{
		"none":   nil,
		"quotes": {"a", "b c", "", `"`, `'`, `it's "quoted" \ $HOME *`, " ", "--", "-x", "--help", ""},
		"utf-8":  {"smörgåsbord", "日本語", "🙂", "\xff\xfe not UTF-8"},
		"lines":  {"a\nb", "\ttab", "\x1b[0m", "\x10."},
		"long":   {strings.Repeat("x", 100_000)},
		"many":   many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, musl, "args"), args...)
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	var big []string
	for i := range 100 {
		big = append(big, fmt.Sprintf("VARIABLE_%d=%s", i, strings.Repeat(string(rune('a'+i%26)), 1000)))
	}
	for name, env := range map[string][]string{
		"none":   nil,
		"few":    {"A=1", "EMPTY=", "SPACES= a  b ", "EQUALS=a=b=c", "QUOTES='\"", "UTF8=grüß dich"},
		"given":  {"PATH=/mine", "HOME=/home/me"},
		"100 KB": big,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prog := cProgram(t, glibc, "args")
			vm := run(t, microvm, options{env: env}, prog)
			expect(t, vm, argsOutput([]string{prog}, setAll(environment, env), "/"))
		})
	}
}

// argsOutput is what programs/c/args.c prints.
func argsOutput(argv, env []string, cwd string) string {
	var b strings.Builder
	for i, a := range argv {
		fmt.Fprintf(&b, "arg %d [%s]\n", i, a)
	}
	for i, kv := range env {
		fmt.Fprintf(&b, "env %d [%s]\n", i, kv)
	}
	fmt.Fprintf(&b, "cwd [%s]\n", cwd)
	return b.String()
}

// setAll adds variables to an environment, in their old places where they have
// some.
func setAll(env, more []string) []string {
	env = append([]string(nil), env...)
next:
	for _, kv := range more {
		k, _, _ := strings.Cut(kv, "=")
		for i := range env {
			if strings.HasPrefix(env[i], k+"=") {
				env[i] = kv
				continue next
			}
		}
		env = append(env, kv)
	}
	return env
}

func TestWorkingDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	prog := cProgram(t, musl, "args")
	t.Run("-w", func(t *testing.T) {
		t.Parallel()
		r := run(t, microvm, options{flags: []string{"-v", dir + ":/a b/c", "-w", "/a b/c"}}, prog)
		expect(t, r, argsOutput([]string{prog}, environment, "/a b/c"))
	})
	t.Run("--cwd", func(t *testing.T) {
		t.Parallel()
		r := command(t, nil, dir, nil, append(append([]string{gosv, "run", "--cwd"}, microvm...), prog)...)
		expect(t, r, argsOutput([]string{prog}, environment, dir))
	})
}

func TestStdin(t *testing.T) {
	t.Parallel()
	binary := make([]byte, 256<<10)
	for i := range binary {
		binary[i] = byte(i * i >> 3)
	}
	for i := range 256 { // every value, and every value after DLE and ESC
		copy(binary[i*6:], []byte{byte(i), 0x10, byte(i), 0x1b, byte(i), '\n'})
	}
	for name, in := range map[string][]byte{
		"empty":  nil,
		"text":   []byte("text\n"),
		"DLE":    {0x10, '.', 0x10, 0x10, 'w'},
		"binary": binary,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, microvm, options{stdin: in}, busybox(t), "sha256sum")
			expect(t, r, fmt.Sprintf("%x  -\n", sha256.Sum256(in)))
		})
	}
	t.Run("cat", func(t *testing.T) { // and back
		t.Parallel()
		in := binary[:64<<10]
		r := run(t, microvm, options{stdin: in}, busybox(t), "cat")
		if !bytes.Equal([]byte(r.stdout), in) || r.code != 0 || r.stderr != "" {
			t.Errorf("%d bytes in, %d out, equal: %v, exit code %d, stderr %s", len(in), len(r.stdout), r.stdout == string(in), r.code, r.stderr)
		}
	})
	t.Run("early", func(t *testing.T) { // it comes while the VM starts, at different moments
		t.Parallel()
		for range 10 {
			r := run(t, microvm, options{stdin: []byte("one\ntwo\nthree\n")}, busybox(t), "tr", "a-z", "A-Z")
			expect(t, r, "ONE\nTWO\nTHREE\n")
		}
	})
	t.Run("ignored", func(t *testing.T) { // more input than the program wants
		t.Parallel()
		same(t, options{stdin: binary}, cProgram(t, glibc, "hello"))
	})
}

func TestStreams(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "streams"))
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"0", "1", "2", "42", "123", "127", "128", "200", "255", "256", "-1"} {
		t.Run(n, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, musl, "end"), "exit", n)
		})
	}
	t.Run("_exit", func(t *testing.T) {
		t.Parallel()
		same(t, options{}, cProgram(t, glibc, "end"), "_exit", "7")
	})
}

// TestDeath: a program that dies by a signal, sent or earned.
func TestDeath(t *testing.T) {
	t.Parallel()
	var ways [][2]string
	for n := 1; n <= 31; n++ {
		switch n {
		case 19, 20, 21, 22: // these stop it, and nobody would continue it
			continue
		}
		ways = append(ways, [2]string{"signal", strconv.Itoa(n)})
	}
	for _, n := range []string{"6", "9", "11", "34", "64"} {
		ways = append(ways, [2]string{"raise", n})
	}
	for _, how := range []string{"null", "divide", "ud2", "hlt", "int3", "call"} {
		ways = append(ways, [2]string{how, "0"})
	}
	for _, way := range ways {
		t.Run(way[0]+" "+way[1], func(t *testing.T) {
			t.Parallel()
			prog := cProgram(t, glibc, "end")
			host := runHost(t, options{}, prog, way[0], way[1])
			vm := run(t, microvm, options{}, prog, way[0], way[1])
			// On the host the shell would say why; in the VM the kernel may.
			if vm.stdout != host.stdout || vm.code != host.code {
				t.Errorf("in the VM: %v\n\non the host: %v", vm, host)
			}
		})
	}
}
