package test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGDB: the command that gosv run --gdb prints connects to the machine, and names what
// runs there, in the kernel and in the program.
func TestGDB(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skipf("SKIPPED: no gdb here (Debian: apt-get install gdb)")
	}
	kernel := build(t, "kernel-symbols.elf", "sh", "-c", "cd .. && go run ./cmd/mkkernel -symbols -o test/bin/kernel-symbols.elf")
	prog := goProgram(t, "examples/hello")
	cmd := exec.Command(gosv, append(append([]string{"run", "--gdb", "--timeout", bound.String(), "--kernel", kernel}, microvm...), prog)...)
	tmp := filepath.Join(t.TempDir(), "a,b") // commas are what QEMU's options are separated by
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	var connect, main, socket string
	said := ""
	for in := bufio.NewScanner(stderr); main == "" && in.Scan(); {
		line := in.Text()
		said += line + "\n"
		if strings.HasPrefix(line, "  gdb ") {
			connect = line
			socket = regexp.MustCompile(`target remote ([^']*)`).FindStringSubmatch(line)[1]
		}
		if m := regexp.MustCompile(`^  hbreak (\*0x\w+) .*the program's main`).FindStringSubmatch(line); m != nil {
			main = m[1]
		}
	}
	eventually(t, func() error { // the VMM is about to make it
		_, err := os.Stat(socket)
		return err
	})
	out, err := exec.Command("sh", "-c", connect+" -nx -batch -ex 'hbreak kernelentry' -ex \"hbreak 'gosv/kernel/guest.Main'\" -ex 'hbreak "+main+
		"' -ex c -ex bt -ex c -ex bt -ex c -ex bt -ex delete -ex c").CombinedOutput()
	for _, want := range []string{
		`#0  kernelentry \(\) at .*entry_amd64\.s:\d+`,
		`(?s)#0  gosv/kernel/guest\.Main .*#1 .* in main\.main \(\) at .*kernel/main\.go:\d+`,
		`#0  main\.main \(\) at .*examples/hello/main\.go:\d+`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Errorf("gdb: %v\n%s\ngosv said:\n%s", err, out, said)
		cmd.Process.Kill()
	}
}
