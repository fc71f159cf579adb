package test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A refusal is what gosv is to say of a command that it cannot obey.
type refusal struct {
	args   []string // of gosv
	code   int
	stderr string // a part of its one line
}

// refuse runs gosv, which must say no in one clear line, and leave nothing.
func refuse(t *testing.T, env []string, want refusal) {
	t.Helper()
	tmp := t.TempDir()
	r := command(t, nil, "", append(append(os.Environ(), "TMPDIR="+tmp), env...), append([]string{gosv}, want.args...)...)
	if r.code != want.code || r.stdout != "" || !strings.HasPrefix(r.stderr, "gosv") || !strings.Contains(r.stderr, want.stderr) ||
		strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") {
		t.Errorf("%v\nwant exit code %d and one line with %q", r, want.code, want.stderr)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("%s left %v behind (%v)", r.command, left, err)
	}
}

// inVM is a command line of gosv that runs args on microvm.
func inVM(args ...string) []string {
	return append(append([]string{"run", "--timeout", "1m"}, microvm...), args...)
}

// Offsets in ELF64 headers (System V ABI).
const (
	elfClass, elfMachine, elfEntry, elfPhoff, elfPhnum = 4, 18, 24, 32, 56

	phOffset, phVaddr, phSize = 8, 16, 56
)

func TestBadPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, err := os.ReadFile(cProgram(t, musl, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// changed is a good program but for what f does. It is given the PT_LOAD
	// headers, too.
	changed := func(name string, f func(file []byte, loads [][]byte)) string {
		b := bytes.Clone(good)
		le := binary.LittleEndian
		var loads [][]byte
		for i := range int(le.Uint16(b[elfPhnum:])) {
			if p := b[int(le.Uint64(b[elfPhoff:]))+i*phSize:]; le.Uint32(p) == 1 {
				loads = append(loads, p)
			}
		}
		f(b, loads)
		return file(name, b)
	}
	put64 := binary.LittleEndian.PutUint64
	get64 := binary.LittleEndian.Uint64
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	unreadable := file("unreadable", good)
	if err := os.Chmod(unreadable, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prog   string
		code   int
		stderr string
	}{
		"text":         {file("text", []byte("just some text\n")), 126, "not an ELF file"},
		"no bytes":     {file("nothing", nil), 126, "not an ELF file"},
		"script":       {file("script", []byte("#!/bin/sh\necho hello\n")), 126, "/bin/sh"},
		"header only":  {file("header", good[:40]), 126, "truncated"},
		"half":         {file("half", good[:len(good)/2]), 126, "truncated"},
		"no headers":   {file("noheaders", good[:64]), 126, "truncated"},
		"ARM":          {changed("arm", func(b []byte, _ [][]byte) { b[elfMachine] = 40 }), 126, "ARM"},
		"ARM64":        {changed("arm64", func(b []byte, _ [][]byte) { b[elfMachine] = 183 }), 126, "ARM64"},
		"32-bit":       {changed("32bit", func(b []byte, _ [][]byte) { b[elfClass] = 1 }), 126, "32-bit"},
		"object":       {changed("object", func(b []byte, _ [][]byte) { b[16] = 1 }), 126, "not an executable"},
		"overlap":      {changed("overlap", func(_ []byte, l [][]byte) { put64(l[1][phVaddr:], get64(l[0][phVaddr:])+get64(l[1][phOffset:])%4096) }), 126, "overlap"},
		"upper half":   {changed("upper", func(_ []byte, l [][]byte) { put64(l[0][phVaddr:], 0xffffffff80000000) }), 126, "half"},
		"beyond half":  {changed("beyond", func(_ []byte, l [][]byte) { put64(l[len(l)-1][phVaddr+24:], 1<<47) }), 126, "half"},
		"first page":   {changed("first", func(_ []byte, l [][]byte) { put64(l[0][phVaddr:], 0) }), 126, "first page"},
		"no entry":     {changed("noentry", func(b []byte, _ [][]byte) { put64(b[elfEntry:], 1<<40) }), 126, "entry point"},
		"dynamic":      {"/bin/ls", 126, "/lib64/ld-linux-x86-64.so.2"},
		"device":       {"/dev/null", 126, "not a program"},
		"missing":      {filepath.Join(dir, "missing"), 127, "no such program"},
		"not on PATH":  {"no-such-program-anywhere", 127, "no such program"},
		"empty dir":    {empty, 126, "neither a Go package"},
		"not main":     {filepath.Join(root, "internal", "elf"), 126, "not package main"},
		"bad image":    {file("bad.img", []byte("not an image\n")), 126, "no application image"},
		"empty image":  {file("empty.img", nil), 126, "no application image"},
		"just a slash": {"/", 126, "neither a Go package"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuse(t, nil, refusal{inVM(c.prog), c.code, c.stderr})
			out := filepath.Join(t.TempDir(), "out.img")
			refuse(t, nil, refusal{[]string{"build", "-o", out, c.prog}, c.code, c.stderr})
			if _, err := os.Stat(out); err == nil {
				t.Errorf("gosv build left %s", out)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() == 0 {
			t.Skip("SKIPPED: root may read everything: run the tests as another user")
		}
		refuse(t, nil, refusal{inVM(unreadable), 126, "permission denied"})
	})
	t.Run("does not compile", func(t *testing.T) {
		t.Parallel()
		pkg := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module broken\n", "main.go": "package main\n\nfunc main() { undefined() }\n"} {
			if err := os.WriteFile(filepath.Join(pkg, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r := command(t, nil, "", nil, append([]string{gosv}, inVM(pkg)...)...)
		if r.code != 126 || !strings.Contains(r.stderr, "main.go:3:15: undefined: undefined") { // and what else the compiler says
			t.Error(r)
		}
	})
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	hello := cProgram(t, musl, "hello")
	nowhere, pipe := filepath.Join(t.TempDir(), "nowhere", "x"), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []refusal{
		{[]string{"run"}, 125, "usage: gosv run [flags] PROGRAM"},
		{[]string{"build"}, 125, "usage: gosv build [flags] PROGRAM"},
		{[]string{"logs", "a", "b"}, 125, "usage: gosv logs [flags] NAME"},
		{[]string{"walk", hello}, 125, "unknown command"},
		{inVM("--no-such-flag", hello), 125, "--no-such-flag"},
		{inVM("-m", "lots", hello), 125, "-m lots"},
		{inVM("-m", "1", hello), 125, "-m 1"},
		{inVM("-m", "3", hello), 125, "-m 3: too little memory"},
		{inVM("-m", "6", goProgram(t, "examples/hello")), 125, "too little memory"}, // says the kernel
		{inVM("-m", "-5", hello), 125, "-m -5"},
		{inVM("-m", "1000G", hello), 125, "-m 1000G"},
		{inVM("-c", "0", hello), 125, "-c 0"},
		{inVM("-c", "1000", hello), 125, "-c 1000"},
		{inVM("-v", "/only-one", hello), 125, "HOST:GUEST"},
		{inVM("-v", "/tmp:relative", hello), 125, "HOST:GUEST"},
		{inVM("-v", nowhere+":/x", hello), 125, nowhere},
		{inVM("-v", "/dev/null:/x", hello), 125, "/dev/null"},
		{inVM("-w", "relative", hello), 125, "absolute"},
		{inVM("-w", "/not/there", hello), 125, "/not/there"},
		{inVM("-e", "=x", hello), 125, "name"},
		{inVM("--env-file", nowhere, hello), 125, nowhere},
		{inVM("--timeout", "soon", hello), 125, "soon"},
		{inVM("--timeout", "-1s", hello), 125, "--timeout -1s"},
		{inVM("--hostname", strings.Repeat("h", 65), hello), 125, "longer than 64 bytes"},
		{inVM("--net", "tap=a-name-of-16-let", hello), 125, "15 letters at most"},
		{inVM("--kernel", nowhere, hello), 125, nowhere},
		{inVM("--strace=no_such_call", hello), 125, "no_such_call"},
		{inVM("--debug", "nonsense", hello), 125, "gosv.debug"},
		{[]string{"run", "--vmm", "xen", hello}, 125, "--vmm xen"},
		{[]string{"run", "--accel", "magic", hello}, 125, "--accel magic"},
		{[]string{"run", "--vmm", "firecracker", "--accel", "tcg", hello}, 125, "KVM"},
		{[]string{"run", "--vmm", "firecracker", "--machine", "q35", hello}, 125, "--machine is for --vmm qemu"},
		{[]string{"run", "--vmm", "firecracker", "--firecracker-cpu-config", nowhere, hello}, 125, nowhere},
		{inVM("--firecracker-cpu-config", hello, hello), 125, "for --vmm firecracker"},
		{[]string{"build", "-o", nowhere, hello}, 125, nowhere},
		{[]string{"build", "-o", "/dev/null/x", hello}, 125, "/dev/null/x"},
		{[]string{"build", "-o", os.TempDir(), hello}, 125, os.TempDir() + ": a directory"},
		{[]string{"build", "-o", pipe, hello}, 125, pipe + ": not a regular file"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			refuse(t, nil, c)
		})
	}
}

// TestBadHost: what gosv needs of the host is not there.
func TestBadHost(t *testing.T) {
	t.Parallel()
	hello := cProgram(t, musl, "hello")
	for _, c := range []refusal{
		{[]string{"run", "--accel", "tcg", hello}, 125, "no VMM found"},
		{[]string{"run", "--vmm", "qemu", "--accel", "tcg", hello}, 125, "apt-get install qemu-system-x86"},
		{[]string{"run", "--vmm", "firecracker", hello}, 125, "firecracker is not on the PATH"},
		{[]string{"run", "--vmm", "qemu", "--accel", "tcg", "../examples/hello"}, 125, "qemu"},
	} {
		t.Run("nothing on the PATH: "+strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			refuse(t, []string{"PATH=/nonexistent"}, c)
		})
	}
	t.Run("no Go", func(t *testing.T) {
		t.Parallel()
		refuse(t, []string{"PATH=/nonexistent"}, refusal{[]string{"build", "../examples/hello"}, 126, "no Go toolchain"})
	})
	t.Run("no temporary directory", func(t *testing.T) {
		t.Parallel()
		r := command(t, nil, "", append(os.Environ(), "TMPDIR=/nonexistent"), append([]string{gosv}, inVM(hello)...)...)
		if r.code != 125 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "/nonexistent") {
			t.Error(r)
		}
	})
	t.Run("no access to KVM", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: only root can become somebody without access to /dev/kvm")
		}
		dir := forNobody(t, hello)
		r := command(t, nil, "/", nil, "sh", "-c", nobody+dir+"/gosv run --vmm qemu --accel kvm "+dir+"/hello")
		if r.code != 125 || !strings.Contains(r.stderr, "/dev/kvm") || strings.Count(r.stderr, "\n") != 1 {
			t.Error(r)
		}
		// Who does not insist on KVM gets TCG.
		r = command(t, nil, "/", nil, "sh", "-c", nobody+dir+"/gosv run --vmm qemu "+dir+"/hello")
		expect(t, r, "hello, world\n")
	})
	t.Run("no namespaces", func(t *testing.T) {
		t.Parallel()
		r := command(t, nil, "", nil, "unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_net_namespaces || exit 99; "+gosv+" doctor")
		if r.code == 99 || strings.Contains(r.stderr, "unshare failed") {
			t.Skipf("SKIPPED: no user namespace to be had: %s", r.stderr)
		}
		if !strings.Contains(r.stdout, "a namespace for it: no space left on device: there are no more to be had: sysctl user.max_user_namespaces") {
			t.Error(r)
		}
	})
	t.Run("a TAP device", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: only root can make a TAP device")
		}
		dir := forNobody(t, hello)
		// In a network and a view of the files of its own: of the host nothing is changed.
		const script = `ip tuntap add dev theirs mode tap user 12345 && ip tuntap add dev ours mode tap user 65534 || exit 99
%[1]s %[2]s/gosv run --vmm qemu --accel tcg --net tap=theirs %[2]s/hello
echo $?
mount -t tmpfs none /dev/net && touch /dev/net/tun && chmod 600 /dev/net/tun || exit 99
%[1]s %[2]s/gosv run --vmm qemu --accel tcg --net tap=ours %[2]s/hello
echo $?; ls $TMPDIR`
		tmp := filepath.Join(dir, "tmp")
		if err := errors.Join(os.Mkdir(tmp, 0o777), os.Chmod(tmp, 0o777)); err != nil {
			t.Fatal(err)
		}
		r := command(t, nil, "/", append(os.Environ(), "TMPDIR="+tmp), "unshare", "-nm", "sh", "-c", fmt.Sprintf(script, strings.TrimPrefix(nobody, "exec "), dir))
		if r.code == 99 {
			t.Skipf("SKIPPED: no TAP device to be had: %s", r.stderr)
		}
		if r.stdout != "125\n125\n" || r.stderr != "gosv: --net tap=theirs: it is another user's\ngosv: --net tap=ours: /dev/net/tun: permission denied\n" {
			t.Error(r)
		}
	})
}

// nobody runs a command as nobody.
const nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups "

// forNobody returns a directory that nobody may enter, with gosv and a program, called hello,
// which nobody may execute.
func forNobody(t *testing.T, hello string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"gosv": gosv, "hello": hello} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestBadArchives: what leads out of a root file system is refused, device nodes stay out.
func TestBadArchives(t *testing.T) {
	t.Parallel()
	hello, err := os.ReadFile(cProgram(t, musl, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	archive := func(more tar.Header) string {
		file, err := os.Create(filepath.Join(t.TempDir(), "root.tar"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w := tar.NewWriter(file)
		for _, h := range []tar.Header{{Typeflag: tar.TypeReg, Name: "hello", Mode: 0o755, Size: int64(len(hello))}, more} {
			err = errors.Join(err, w.WriteHeader(&h))
			if h.Size > 0 {
				_, werr := w.Write(hello)
				err = errors.Join(err, werr)
			}
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return file.Name()
	}
	out := filepath.Join(t.TempDir(), "out.img")
	for name, h := range map[string]tar.Header{
		"a path":      {Typeflag: tar.TypeReg, Name: "a/../../passwd"},
		"a hard link": {Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/shadow"},
	} {
		t.Run(name, func(t *testing.T) {
			root := archive(h)
			refuse(t, nil, refusal{[]string{"build", "--rootfs", root, "-o", out, "/hello"}, 125, "leads out of it"})
			if _, err := os.Stat(out); err == nil {
				t.Errorf("gosv build left %s", out)
			}
		})
	}
	t.Run("a device", func(t *testing.T) {
		root := archive(tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8})
		if r := command(t, nil, "", nil, gosv, "build", "--rootfs", root, "-o", out, "/hello"); r.code != 0 || r.stderr != "gosv: /sda, a device or a socket, is left out of the image\n" {
			t.Error(r)
		}
		expect(t, run(t, microvm, options{}, out), "hello, world\n")
	})
}

// TestFullDisk: no space for what gosv writes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	hello := cProgram(t, musl, "hello")
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("SKIPPED: cannot mount a small file system to fill: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	for _, args := range [][]string{
		inVM(hello),
		inVM("--dry-run", hello),
		{"build", "-o", filepath.Join(disk, "hello.img"), hello},
	} {
		r := command(t, nil, "", append(os.Environ(), "TMPDIR="+disk), append([]string{gosv}, args...)...)
		if r.code != 125 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "no space left on device") {
			t.Error(r)
		}
		if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
			t.Errorf("%s left %v behind (%v)", r.command, left, err)
		}
	}
}

// buildImage returns an image of prog.
func buildImage(t *testing.T, prog string, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "app.img")
	r := command(t, nil, "", nil, append(append([]string{gosv, "build", "-o", out}, flags...), prog)...)
	expect(t, r, "")
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBadImages: gosv refuses an image that is not as it was built.
func TestBadImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := buildImage(t, cProgram(t, musl, "hello"))
	bad := func(name string, b []byte) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".img")
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			refuse(t, nil, refusal{inVM(path), 126, path + ": "})
		})
	}
	for _, n := range []int{0, 1, 31, 1000, len(img) / 2, len(img) - 33, len(img) - 1} {
		bad("cut short at "+strconv.Itoa(n), img[:n])
	}
	for _, at := range []int{1024, 1100, 4096, len(img) / 2, len(img) - 200, len(img) - 40, len(img) - 24, len(img) - 12, len(img) - 1} {
		b := bytes.Clone(img)
		b[at] ^= 0x10
		bad("flipped at "+strconv.Itoa(at), b)
	}
	bad("something behind it", append(bytes.Clone(img), 0))
}

// A kernelRun is a kernel started by hand.
type kernelRun struct {
	result
	output string // without the console's framing
	report int    // the exit code that the kernel reported, -1 for none
}

// byHand starts what gosv run --dry-run printed, with the image and QEMU's
// command line changed.
func byHand(t *testing.T, prog string, image func([]byte) []byte, edit func(string) string) kernelRun {
	t.Helper()
	return byHandFrom(t, "app.img", microvm, prog, image, edit)
}

// byHandFrom is byHand on a machine that has its image, or what is to be changed, in a file of that name.
func byHandFrom(t *testing.T, name string, m machine, prog string, image func([]byte) []byte, edit func(string) string) kernelRun {
	t.Helper()
	dir := t.TempDir()
	dry := command(t, nil, "", append(os.Environ(), "TMPDIR="+dir), append([]string{gosv, "run", "--dry-run"}, append(m[:len(m):len(m)], prog)...)...)
	if dry.code != 0 {
		t.Fatal(dry)
	}
	at, err := filepath.Glob(filepath.Join(dir, "*", name))
	if err != nil || len(at) != 1 {
		t.Fatalf("no image: %v %v", at, err)
	}
	img, err := os.ReadFile(at[0])
	if err != nil {
		t.Fatal(err)
	}
	if image != nil {
		img = image(img)
	}
	if err := os.WriteFile(at[0], img, 0o644); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(dry.stdout)
	if edit != nil {
		line = edit(line)
	}
	const hang = 124 // timeout's exit code
	r := kernelRun{result: command(t, nil, "", nil, "timeout", fmt.Sprint(bound.Seconds()), "sh", "-c", line), report: -1}
	if r.code == hang {
		t.Errorf("the machine did not end: %v", r.result)
	}
	r.output = framing.ReplaceAllStringFunc(r.stdout, func(s string) string {
		if m := framing.FindStringSubmatch(s); s[len("\x1b_TOKN")] == 'x' {
			r.report, _ = strconv.Atoi("0" + m[1]) // 0 is left out
		}
		return ""
	})
	return r
}

// framing is the console's (docs/contracts.md).
var framing = regexp.MustCompile(`\x1b_\w{4}(?:[oek]|x(\d*))\x1b\\`)

// TestKernelBadImage: the kernel itself refuses, where gosv was not asked.
func TestKernelBadImage(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	flip := func(fromEnd int) func([]byte) []byte {
		return func(b []byte) []byte { b[len(b)-fromEnd] ^= 0x10; return b }
	}
	withoutInitrd := func(line string) string { return regexp.MustCompile(` -initrd \S+`).ReplaceAllString(line, "") }
	for name, c := range map[string]struct {
		image  func([]byte) []byte
		edit   func(string) string
		code   int
		output string
	}{
		"as it is":       {nil, nil, 0, "hello, world\n"},
		"no module":      {nil, withoutInitrd, 125, "gosv kernel: no application: "},
		"not an image":   {func(b []byte) []byte { return bytes.Repeat([]byte("text\n"), 2000) }, nil, 125, "gosv kernel: no application image"},
		"cut short":      {func(b []byte) []byte { return b[:len(b)/2] }, nil, 125, "gosv kernel: no application image"},
		"one byte short": {func(b []byte) []byte { return b[:len(b)-1] }, nil, 125, "gosv kernel: no application image"},
		"one byte":       {func(b []byte) []byte { return b[:1] }, nil, 125, "gosv kernel: no application image"},
		"magic":          {flip(32), nil, 125, "gosv kernel: no application image"},
		"offset":         {flip(20), nil, 125, "gosv kernel: a corrupt application image"},
		"version":        {flip(4), nil, 125, "gosv kernel: an application image of another version"},
		"configuration":  {func(b []byte) []byte { b[bytes.LastIndex(b, []byte("PATH="))] ^= 0x10; return b }, nil, 125, "gosv kernel: a corrupt application image"},
		"superblock":     {func(b []byte) []byte { b[1024] ^= 0x10; return b }, nil, 125, "gosv kernel: a corrupt application image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := byHand(t, prog, c.image, c.edit)
			if r.report != c.code || !strings.HasPrefix(strings.ReplaceAll(r.output, "\r", ""), c.output) || strings.Count(r.output, "\n") != 1 {
				t.Errorf("the kernel reported %d, want %d and %q: %v", r.report, c.code, c.output, r.result)
			}
		})
	}
	// Damage to the file system, which the kernel has no time to look for, may
	// break the program, but not the kernel.
	t.Run("damaged file system", func(t *testing.T) {
		t.Parallel()
		random := rand.New(rand.NewPCG(1, 2))
		for range 12 {
			var at, bit int
			r := byHand(t, prog, func(b []byte) []byte {
				metadata := []int{1024, min(len(b), 8192)}
				if random.IntN(2) == 0 {
					metadata = []int{0, len(b) - 4096}
				}
				at, bit = metadata[0]+random.IntN(metadata[1]-metadata[0]), random.IntN(8)
				b[at] ^= 1 << bit
				return b
			}, nil)
			if r.report < 0 || r.report == 123 {
				t.Errorf("bit %d at %d flipped: %v", bit, at, r.result)
			}
		}
	})
}

// TestKernelFailure: the kernel says what is wrong with it.
func TestKernelFailure(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	for how, want := range map[string][]string{
		"fault": {`gosv kernel: page fault \(vector 14, error 0x0\) at 0xffffffff80\w+, address 0xffffffff80000000 on CPU \d`,
			`ax 0x\w+ +bx 0x\w+`, `ip 0xffffffff80\w+`, `main\.main gosv/kernel/main\.go:\d+`},
		"panic":        {`panic: as gosv\.debug asks`, `goroutine 1 \[running\]:`, `main\.main\(\)\s+gosv/kernel/main\.go:\d+`},
		"double-fault": {`gosv kernel: double fault \(vector 8, `, `metal\.mcall .*`, `main\.main gosv/kernel/main\.go:\d+`},
		// The innermost function is missing where a signal of the runtime's is just about to be handled.
		"hang":     {`gosv kernel: CPU \d hangs: .*, with interrupts on`, `guest\.(fail|Main) .*`, `main\.main gosv/kernel/main\.go:\d+`},
		"hang-off": {`gosv kernel: CPU \d hangs: .*, with interrupts off`, `metal\.mcall .*`, `main\.main gosv/kernel/main\.go:\d+`},
	} {
		for _, cpus := range []string{"1", "4"} {
			if how == "hang-off" && cpus == "1" {
				continue // nobody is there to see it
			}
			t.Run(how+" "+cpus, func(t *testing.T) {
				t.Parallel()
				r := run(t, microvm, options{flags: []string{"--debug", how, "-c", cpus}}, prog)
				for _, re := range want {
					if !regexp.MustCompile(re).MatchString(r.stderr) {
						t.Errorf("no %s", re)
					}
				}
				if r.code != 123 || r.stdout != "" || t.Failed() {
					t.Errorf("%v\nwant exit code 123", r)
				}
			})
		}
	}
	t.Run("hang", func(t *testing.T) {
		t.Parallel()
		start := time.Now()
		r := command(t, nil, "", nil, append(append([]string{gosv, "run", "--timeout", "2s", "--debug", "hang"}, microvm...), prog)...)
		if r.code != 124 || r.stdout != "" || !strings.Contains(r.stderr, "--timeout") || time.Since(start) < 2*time.Second {
			t.Error(r)
		}
	})
}

// TestNMI: one from outside is reported.
func TestNMI(t *testing.T) {
	t.Parallel()
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			monitor := filepath.Join(t.TempDir(), "monitor")
			cmd := exec.Command(gosv, append(append([]string{"run", "--timeout", bound.String(), "-c", cpus}, microvm...),
				"--vmm-arg", "-monitor", "--vmm-arg", "unix:"+monitor+",server,nowait", cProgram(t, musl, "asleep"))...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(stdout).ReadString('\n')
			if c, err := net.Dial("unix", monitor); err == nil {
				c.Write([]byte("nmi\n"))
				defer c.Close()
			}
			cmd.Wait()
			if line != "asleep\n" || cmd.ProcessState.ExitCode() != 123 || !regexp.MustCompile(`gosv kernel: NMI \(vector 2, error 0x0\) at 0x\w+ on CPU \d`).MatchString(stderr.String()) {
				t.Errorf("%q, exit code %d, want 123: %s", line, cmd.ProcessState.ExitCode(), stderr.String())
			}
		})
	}
}

// TestEatMemory: a program that wants more memory than there is ends, the
// kernel lives to say so.
func TestEatMemory(t *testing.T) {
	t.Parallel()
	for _, memory := range []string{"16", "64"} {
		for _, cpus := range []string{"1", "4"} {
			t.Run(memory+" MiB, CPUs "+cpus, func(t *testing.T) {
				t.Parallel()
				r := run(t, microvm, options{flags: []string{"-m", memory, "-c", cpus}}, cProgram(t, glibc, "eat"))
				if r.stdout != "eating\n" || r.code != 128+int(syscall.SIGKILL) || !strings.HasPrefix(r.stderr, "out of memory: ") || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("%v\nwant exit code 137 and a message", r)
				}
			})
		}
	}
	t.Run("in the file system", func(t *testing.T) {
		t.Parallel()
		r := run(t, microvm, options{flags: []string{"-m", "32"}}, busybox(t), "dd", "if=/dev/zero", "of=/tmp/x", "bs=64k")
		if r.code != 1 || !strings.Contains(r.stderr, "No space left on device") {
			t.Errorf("%v\nwant dd to meet the end of the space", r)
		}
	})
}

// TestLies: pointers to nowhere get EFAULT.
func TestLies(t *testing.T) {
	t.Parallel()
	for _, c := range []libc{glibc, musl} {
		same(t, options{}, cProgram(t, c, "lies"))
	}
}
