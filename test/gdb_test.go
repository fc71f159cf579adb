package test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A debugger is a command that connects gdb to a machine which runs a program and stands
// before its first instruction.
type debugger struct {
	command string
	main    string // the address of the program's main, for hbreak
	said    string // by gosv
	stdout  strings.Builder
	cmd     *exec.Cmd
}

// debug runs a program with gosv run --gdb, and a kernel that has symbols.
func debug(t *testing.T, prog string) *debugger {
	t.Helper()
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip(err)
	}
	kernel := build(t, "kernel-symbols.elf", "sh", "-c", "cd .. && go run ./cmd/mkkernel -symbols -o test/bin/kernel-symbols.elf")
	d := new(debugger)
	d.cmd = exec.Command(gosv, append(append([]string{"run", "--gdb", "--timeout", "100s", "--kernel", kernel}, microvm...), prog)...)
	d.cmd.Stdout = &d.stdout
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	socket := ""
	for in := bufio.NewScanner(stderr); d.main == "" && in.Scan(); {
		line := in.Text()
		d.said += line + "\n"
		if strings.HasPrefix(line, "  gdb ") {
			d.command = line
			socket = regexp.MustCompile(`target remote ([^']*)`).FindStringSubmatch(line)[1]
		}
		if m := regexp.MustCompile(`^  hbreak (\*0x\w+) .*the program's main`).FindStringSubmatch(line); m != nil {
			d.main = m[1]
		}
	}
	for range 500 { // the VMM is about to make it
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return d
}

// run has gdb execute a script, which ends with the machine, and gdb with an error then.
func (d *debugger) run(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("sh", "-c", d.command+" -nx -batch -x "+file).CombinedOutput()
	return string(out)
}

// end waits for the end of the machine.
func (d *debugger) end(t *testing.T, out string) {
	t.Helper()
	if t.Failed() {
		d.cmd.Process.Kill()
	}
	if err := d.cmd.Wait(); err != nil || t.Failed() {
		t.Errorf("gosv: %v; it printed:\n%s\nit said:\n%s\ngdb printed:\n%s", err, d.stdout.String(), d.said, out)
	}
}

// TestGDB: the command that gosv run --gdb prints connects to the machine, and names what
// runs there, in the kernel and in the program.
func TestGDB(t *testing.T) {
	t.Parallel()
	d := debug(t, goProgram(t, "examples/hello"))
	out := d.run(t, "hbreak kernelentry\nhbreak 'gosv/kernel/guest.Main'\nhbreak "+d.main+"\nc\nbt\nc\nbt\nc\nbt\ndelete\nc\n")
	for _, want := range []string{
		`#0  kernelentry \(\) at .*entry_amd64\.s:\d+`,
		`(?s)#0  gosv/kernel/guest\.Main .*#1 .* in main\.main \(\) at .*kernel/main\.go:\d+`,
		`#0  main\.main \(\) at .*examples/hello/main\.go:\d+`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s", want)
		}
	}
	d.end(t, out)
}

// TestInterruptWhileOff: what QEMU's SVM delivers a second time, while interrupts are off
// (kernel/metal/trap_amd64.s), changes nothing: on the kernel's stack, and before
// a system call has come to it.
func TestInterruptWhileOff(t *testing.T) {
	t.Parallel()
	d := debug(t, goProgram(t, "examples/hello"))
	out := d.run(t, `
set language c
define interrupt
	set $top = *(unsigned long *)((char *)&'gosv/kernel/metal.cpu0'.tss + 36)
	set $f = $top - 40
	set {unsigned long}($f + 32) = 0x10
	set {unsigned long}($f + 24) = $rsp
	set {unsigned long}($f + 16) = 2
	set {unsigned long}($f + 8) = 8
	set {unsigned long}$f = $rip
	p $eflags
	set $rsp = $f
	set $rip = (unsigned long)$arg0 + $arg1
end
hbreak 'gosv/kernel/metal.lockedSyscall'
c
interrupt &'gosv/kernel/metal.stubs' 41*16
delete
hbreak `+d.main+`
c
delete
hbreak 'gosv/kernel/metal.userSyscall'
c
interrupt &'gosv/kernel/metal.stubs' 41*16
c
interrupt &'gosv/kernel/metal.tlbInterrupt' 0
delete
c
`)
	off := 0
	for _, flags := range regexp.MustCompile(`(?m)^\$\d+ = \[.*\]$`).FindAllString(out, -1) {
		if !strings.Contains(flags, " IF ") {
			off++
		}
	}
	if off != 3 {
		t.Errorf("interrupts were off %d times, want 3", off)
	}
	d.end(t, out)
	if got := d.stdout.String(); got != "Hello from a microVM\n" {
		t.Errorf("it printed %q", got)
	}
}
