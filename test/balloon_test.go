package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// balloonVM starts a machine with 128 MiB, which are in a file, a balloon, and a
// program that watches its memory.
func balloonVM(t *testing.T, kind, device string, args ...string) (vm *rawVM, memory string) {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if r := command(t, nil, "", nil, append([]string{gosv, "build", "-o", image, cProgram(t, musl, "balloon")}, args...)...); r.code != 0 {
		t.Fatal(r)
	}
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
	memory = filepath.Join(dir, "memory")
	return startVM(t, filepath.Join(dir, "vm"), "-M", kind+",memory-backend=memory", "-m", "128",
		"-object", "memory-backend-file,id=memory,size=128M,share=on,mem-path="+memory,
		"-global", "virtio-mmio.force-legacy=off", "-device", device,
		"-kernel", filepath.Join(root, "internal/image/kernels/gosv.elf"), "-initrd", image, "-append", "gosv.verbose"), memory
}

// resize asks for another size of the machine, in MiB.
func (vm *rawVM) resize(t *testing.T, mib int) {
	t.Helper()
	vm.qmp(t, fmt.Sprintf(`{"execute":"balloon","arguments":{"value":%d}}`, mib<<20))
}

// reaches waits until the host knows that the machine has that size.
func (vm *rawVM) reaches(t *testing.T, mib int) {
	t.Helper()
	eventually(t, func() error {
		if has := vm.size(t); has != mib {
			return fmt.Errorf("the machine has %d MiB, want %d", has, mib)
		}
		return nil
	})
}

// size is the machine's, in MiB, as far as the host knows.
func (vm *rawVM) size(t *testing.T) int {
	t.Helper()
	answer := vm.qmp(t, `{"execute":"query-balloon"}`)
	m := regexp.MustCompile(`"actual": (\d+)}`).FindStringSubmatch(answer)
	if m == nil {
		t.Fatal(answer)
	}
	n, _ := strconv.Atoi(m[1])
	return n >> 20
}

// sees waits until the program sees so much memory, in MiB, and as much of it free
// as f says.
func (vm *rawVM) sees(t *testing.T, total int, f func(free int) bool) {
	t.Helper()
	line := regexp.MustCompile(`total (\d+) free (\d+)\n`)
	eventually(t, func() error {
		b, err := os.ReadFile(vm.console)
		if err != nil {
			return err
		}
		all := line.FindAllStringSubmatch(strings.ReplaceAll(string(b), "\r", ""), -1)
		if len(all) > 0 {
			last := all[len(all)-1]
			n, _ := strconv.Atoi(last[1])
			free, _ := strconv.Atoi(last[2])
			if n <= total && n > total-8 && f(free) { // the kernel, and what firmware keeps, is missing
				return nil
			}
		}
		return fmt.Errorf("the program sees %q, of %d MiB", all, total)
	})
}

// inFile is how many MiB of the machine's memory the host has in use.
func inFile(t *testing.T, memory string) int {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(memory, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Blocks >> 11)
}

// TestBalloon: the host takes memory and gives it back; what it took is no longer
// in use there, and the program knows.
func TestBalloon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, kind, device string }{
		{"mmio", "microvm", "virtio-balloon-device"},
		{"modern", "q35", "virtio-balloon-pci"},
		{"legacy", "pc", "virtio-balloon-pci,disable-modern=on"},
		{"more", "microvm", "virtio-balloon-device,deflate-on-oom=on,free-page-reporting=on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vm, memory := balloonVM(t, c.kind, c.device, "watch")
			oom := strings.Contains(c.device, "oom")
			size := func(mib int) int { // of the machine, as the program sees it
				if oom {
					return 128
				}
				return mib
			}
			vm.sees(t, 128, func(free int) bool { return free > 100 })
			for _, mib := range []int{60, 90, 33, 128} {
				vm.resize(t, mib)
				vm.reaches(t, mib)
				vm.sees(t, size(mib), func(free int) bool { return free < mib && free > mib-20 })
				if n := inFile(t, memory); n > mib+4 { // firmware, and what the file system needs
					t.Errorf("the machine has %d MiB, of which %d are in use", mib, n)
				}
			}
			// More than there is to have: the program goes on.
			vm.resize(t, 1)
			vm.sees(t, size(12), func(free int) bool { return free < 8 })
			vm.resize(t, 128)
			vm.reaches(t, 128)
			vm.sees(t, 128, func(free int) bool { return free > 100 })
		})
	}
}

// TestDeflateOnOOM: a program that needs memory gets back what the host has taken,
// if that agrees.
func TestDeflateOnOOM(t *testing.T) {
	t.Parallel()
	const mib, rest = 90, 40
	vm, _ := balloonVM(t, "microvm", "virtio-balloon-device,deflate-on-oom=on", "use", strconv.Itoa(mib), strconv.Itoa(rest))
	vm.wait(t, regexp.MustCompile("waiting\n"), 1)
	vm.resize(t, rest)
	vm.wait(t, regexp.MustCompile("used\n"), 1)
	vm.wait(t, regexp.MustCompile("using\n"), 1)
	eventually(t, func() error {
		if has := vm.size(t); has < mib {
			return fmt.Errorf("the program uses %d MiB of a machine that has %d", mib, has)
		}
		return nil
	})
}

// TestFreePageReporting: memory that a program has given back, the host gets back, and keeps.
func TestFreePageReporting(t *testing.T) {
	t.Parallel()
	const most = 30
	vm, memory := balloonVM(t, "microvm", "virtio-balloon-device,free-page-reporting=on", "release", "80")
	vm.wait(t, regexp.MustCompile("released\n"), 1)
	eventually(t, func() error {
		if n := inFile(t, memory); n >= most {
			return fmt.Errorf("%d MiB are in use, but the program has given back what it had", n)
		}
		return nil
	})
	time.Sleep(time.Second)
	if n := inFile(t, memory); n >= most {
		t.Errorf("%d MiB are in use again, but the program does nothing", n)
	}
}
