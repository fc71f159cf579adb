package test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPVPanic: a VMM that wants to know hears that the kernel has failed, and
// only then.
func TestPVPanic(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	for _, c := range []struct{ kind, device string }{{"pc", "pvpanic"}, {"q35", "pvpanic"}, {"q35", "pvpanic-pci"}} {
		t.Run(c.kind+" "+c.device, func(t *testing.T) {
			t.Parallel()
			for how, code := range map[string]int{"panic": 123, "nonsense": 125} {
				log := filepath.Join(t.TempDir(), "log")
				m := machine{"--vmm", "qemu", "--accel", "tcg", "--machine", c.kind, "--vmm-arg=-device", "--vmm-arg=" + c.device, "--verbose",
					"--vmm-arg=-d", "--vmm-arg=guest_errors", "--vmm-arg=-D", "--vmm-arg=" + log}
				r := run(t, m, options{flags: []string{"--debug", how}}, prog)
				said, err := os.ReadFile(log)
				if told := strings.Contains(string(said), "Guest crashed"); r.code != code || told != (how == "panic") {
					t.Errorf("%v\nwant exit code %d; QEMU says %q, %v", r, code, said, err)
				}
			}
		})
	}
}

// TestInterruptLines: six disks that interrupt by their pins, of which there are
// fewer lines, read at once; also behind bridges.
func TestInterruptLines(t *testing.T) {
	t.Parallel()
	const disks = 6
	dir := t.TempDir()
	random := rand.New(rand.NewSource(1))
	var here, there []string
	for i := range disks {
		b := make([]byte, 512<<10)
		random.Read(b)
		here, there = append(here, filepath.Join(dir, strconv.Itoa(i))), append(there, "/dev/vd"+string(rune('a'+i)))
		if err := os.WriteFile(here[i], b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	prog := cProgram(t, musl, "readall")
	want := runHost(t, options{}, prog, here...)
	for name, args := range map[string][]string{
		"pc":                    {"--machine", "pc"},
		"pc, without ACPI":      {"--machine", "pc,acpi=off"},
		"q35, without ACPI":     {"--machine", "q35,acpi=off"},
		"pc, legacy":            {"--machine", "pc", ",disable-modern=on"},
		"pc, behind a bridge":   {"--machine", "pc", ",bus=p", "pci-bridge,id=p,chassis_nr=1"},
		"q35":                   {"--machine", "q35"},
		"q35, behind two":       {"--machine", "q35", ",bus=p", "pcie-root-port,id=r,chassis=1", "pcie-pci-bridge,bus=r,id=p"},
		"microvm":               {"--machine", "microvm,pcie=on"}, // whose firmware sets no BAR
		"microvm, MMIO":         {"--machine", "microvm", "virtio-blk-device"},
		"microvm, without ACPI": {"--machine", "microvm,acpi=off", "virtio-blk-device"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, device := append(machine{"--vmm", "qemu", "--accel", "tcg", "-c", "2"}, args[:2]...), "virtio-blk-pci,vectors=0"
			for _, a := range args[2:] {
				if strings.HasPrefix(a, ",") {
					device += a
				} else if a == "virtio-blk-device" {
					device = a
				} else {
					m = append(m, "--vmm-arg=-device", "--vmm-arg="+a)
				}
			}
			for i, file := range here {
				m = append(m, "--vmm-arg=-drive", fmt.Sprintf("--vmm-arg=id=d%d,if=none,format=raw,snapshot=on,file=%s", i, file),
					"--vmm-arg=-device", fmt.Sprintf("--vmm-arg=%s,drive=d%d", device, i))
			}
			compare(t, run(t, m, options{}, prog, there...), want)
		})
	}
}

// TestGenerationID: copies of a machine that differ in their generation id give
// out different random numbers, and those that do not differ the same.
func TestGenerationID(t *testing.T) {
	t.Parallel()
	const a, b = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	prog := cProgram(t, musl, "clone")
	for _, kind := range []string{"pc", "q35"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			image, state := filepath.Join(dir, "image"), filepath.Join(dir, "state")
			if r := command(t, nil, "", nil, gosv, "build", "-o", image, prog); r.code != 0 {
				t.Fatal(r)
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			start := func(name, id string, more ...string) *rawVM {
				return startVM(t, filepath.Join(dir, name), append([]string{"-M", kind, "-m", "64", "-device", "vmgenid,guid=" + id,
					"-kernel", filepath.Join(root, "internal/image/kernels/gosv.elf"), "-initrd", image, "-append", "gosv.verbose"}, more...)...)
			}
			first := start("first", a)
			first.numbers(t, 2)
			first.qmp(t, `{"execute":"migrate","arguments":{"uri":"exec:cat >`+state+`"}}`)
			eventually(t, func() error {
				if said := first.qmp(t, `{"execute":"query-migrate"}`); !strings.Contains(said, `"completed"`) {
					return errors.New(said)
				}
				return nil
			})
			first.end()
			var got [3][]string
			for i, id := range []string{a, a, b} {
				vm := start(strconv.Itoa(i), id, "-incoming", "exec:cat "+state)
				got[i] = vm.numbers(t, 3)
				if id != a { // the interrupt, without which they would be different, too
					vm.wait(t, regexp.MustCompile("this machine is a copy"), 1)
				}
				vm.end()
			}
			if !slices.Equal(got[0], got[1]) {
				t.Errorf("the same machine twice gives out %v, and then %v: this test tests nothing", got[0], got[1])
			}
			for _, v := range got[2][1:] { // the first may have been on its way
				if slices.Contains(got[0], v) {
					t.Errorf("a copy gives out %v, another one %v", got[0], got[2])
				}
			}
		})
	}
}

// rawVM is a QEMU without gosv in front of it.
type rawVM struct {
	cmd     *exec.Cmd
	console string // file
	control net.Conn
	answers *bufio.Reader
}

// startVM starts QEMU, whose console and control socket are called name.
func startVM(t *testing.T, name string, args ...string) *rawVM {
	t.Helper()
	vm := &rawVM{console: name + ".out"}
	vm.cmd = exec.Command("qemu-system-x86_64", append(args, "-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
		"-serial", "file:"+vm.console, "-qmp", "unix:"+name+".qmp,server=on,wait=off")...)
	if err := vm.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.end)
	eventually(t, func() (err error) {
		vm.control, err = net.Dial("unix", name+".qmp")
		return err
	})
	vm.answers = bufio.NewReader(vm.control)
	vm.qmp(t, `{"execute":"qmp_capabilities"}`)
	return vm
}

func (vm *rawVM) end() {
	vm.cmd.Process.Kill()
	vm.cmd.Wait()
}

// qmp gives QEMU a command and returns its answer.
func (vm *rawVM) qmp(t *testing.T, command string) string {
	t.Helper()
	vm.control.SetDeadline(time.Now().Add(bound))
	if _, err := vm.control.Write([]byte(command)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := vm.answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, `{"return"`) {
			return line
		}
		if strings.HasPrefix(line, `{"error"`) {
			t.Fatalf("%s: %s", command, line)
		}
	}
}

// numbers waits for so many numbers on the console.
func (vm *rawVM) numbers(t *testing.T, n int) (got []string) {
	t.Helper()
	return vm.wait(t, regexp.MustCompile(`random [0-9a-f]{16}\n`), n)
}

// wait waits until something was so often on the console.
func (vm *rawVM) wait(t *testing.T, what *regexp.Regexp, n int) (got []string) {
	t.Helper()
	eventually(t, func() error {
		b, err := os.ReadFile(vm.console)
		if err != nil {
			return err
		}
		if got = what.FindAllString(strings.ReplaceAll(string(b), "\r", ""), n); len(got) < n {
			return fmt.Errorf("not %d times %s on the console, but %q", n, what, b)
		}
		return nil
	})
	return got
}

// TestFirecrackerCopies: Firecracker gives every copy of a snapshot a generation
// id of its own, and says so by an interrupt.
func TestFirecrackerCopies(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	image := filepath.Join(t.TempDir(), "image")
	if r := command(t, nil, "", nil, gosv, "build", "-o", image, cProgram(t, musl, "clone")); r.code != 0 {
		t.Fatal(r)
	}
	b.add(image)
	ask := b.add(cProgram(t, musl, "ask"))
	b.add(filepath.Join(root, "internal/image/kernels/gosv.elf"))
	out := b.run(t, 120, "ask="+ask+`
cd /tmp
echo '{"boot-source":{"kernel_image_path":"/box/gosv.elf","initrd_path":"/box/image","boot_args":"gosv.verbose"},"drives":[],
	"machine-config":{"vcpu_count":1,"mem_size_mib":32},"cpu-config":"/box/cpu.json"}' >vm.json
wait_for() { # wait_for FILE COUNT PATTERN
	i=0
	while n=$(grep -cs "$3" $1); [ ${n:-0} -lt $2 ] && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done
}
firecracker --level Off --api-sock first --config-file vm.json >first.out 2>&1 &
wait_for first.out 3 random
$ask first PATCH /vm '{"state":"Paused"}' || exit 1
$ask first PUT /snapshot/create '{"snapshot_path":"state","mem_file_path":"memory"}' || exit 1
kill $!
for name in second third; do
	firecracker --level Off --api-sock $name >$name.out 2>&1 &
	i=0; while [ ! -S $name ] && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done
	$ask $name PUT /snapshot/load '{"snapshot_path":"state","mem_backend":{"backend_type":"File","backend_path":"memory"},"resume_vm":true}' || exit 1
	wait_for $name.out 6 random
	wait_for $name.out 1 copy
	kill $!
	sed "s/^/$name: /" $name.out
done
exit 0
`)
	numbers := map[string][]string{}
	for _, m := range regexp.MustCompile(`(second|third): .*(random [0-9a-f]{16})`).FindAllStringSubmatch(out, -1) {
		numbers[m[1]] = append(numbers[m[1]], m[2])
	}
	for _, name := range []string{"second", "third"} {
		if len(numbers[name]) < 5 || !strings.Contains(out, name+": gosv kernel: this machine is a copy") {
			t.Fatalf("%s:\n%s", name, abbreviate(out))
		}
	}
	for _, v := range numbers["second"][1:] { // the first may have been on its way
		if slices.Contains(numbers["third"], v) {
			t.Errorf("one copy gives out %v, another one %v", numbers["second"], numbers["third"])
		}
	}
}
