// mkkernel builds the guest kernel: a Go program linked by the stock toolchain
// in the upper half of the address space, made bootable by every VMM that
// enters an ELF file itself.
//
//	mkkernel -o gosv.elf                  both entries in one file
//	mkkernel -net -o gosv-net.elf         the kernel with a network
//	mkkernel -entry linux64 -o test.elf   no PVH note: the 64-bit entry only
//	mkkernel -entry loader -o test.elf    the note leads to a loader that takes the 64-bit entry
//	mkkernel -host -o gosv                the program on the host, whose netstack has the same faults mended
//	mkkernel -test -- ./kernel/net        go test, with flags and packages, with netstack as the kernel has it
//	mkkernel -host -test -- ./internal/network   and as the program on the host has it
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// pinnedGo is the toolchain whose runtime kernel/metal is written for: it
// knows offsets in g, the order in which Ms start, and what the runtime asks
// of Linux. Another version must be tried and this line changed with it.
const pinnedGo = "go1.26.8"

// The two kernels.
const (
	smallKernel = "gosv/kernel"
	netKernel   = "gosv/kernel/withnet"
)

const (
	kernelBase = 0xffffffff80000000 // metal.KernelBase
	imagePhys  = 0x100000           // metal.imagePhys: where the ELF header page is loaded
	noteAt     = 0xa00              // in the header page: the PVH note,
	stubAt     = 0xa20              // and the stub, as in kernel/metal/stubs/entry.S
	entry64    = 0x120              // the 64-bit entry in the stub
	loaderAt   = 0xc20              // the tests' loader, as in stubs/loader.S
	headerEnd  = 0xf00              // the linker's own notes lie behind
)

func main() {
	out := flag.String("o", "", "where to write the kernel")
	entry := flag.String("entry", "both", "both: PVH note and Linux 64-bit entry; linux64: the latter only; "+
		"loader: the latter, by way of a boot loader that the note leads to")
	symbols := flag.Bool("symbols", false, "keep the symbol table and DWARF, for gdb")
	network := flag.Bool("net", false, "the kernel with a network")
	pgo := flag.String("pgo", "auto", "the profile to build with, as go build's -pgo has it")
	host := flag.Bool("host", false, "no kernel but gosv, the program on the host")
	tests := flag.Bool("test", false, "make nothing, but run go test with the arguments on what would be made")
	flag.Parse()
	pkg := smallKernel
	if *network {
		pkg = netKernel
	}
	kind, ok := map[string]entries{"both": both, "linux64": linux64, "loader": loader}[*entry]
	if *tests != (*out == "") || *tests != (flag.NArg() != 0) || !ok {
		flag.Usage()
		os.Exit(2)
	}
	make := func() error { return build(*out, pkg, kind, *symbols, *pgo) }
	switch {
	case *tests:
		make = func() error { return test(*host, flag.Args()) }
	case *host:
		make = func() error { return buildHost(*out) }
	}
	if err := make(); err != nil {
		fmt.Fprintln(os.Stderr, "mkkernel:", err)
		os.Exit(1)
	}
}

// entries says how a kernel can be entered.
type entries int

const (
	both    entries = iota // by PVH and by the Linux 64-bit boot protocol
	linux64                // by the latter only
	loader                 // by PVH at loaderStub, which goes on with the other
)

func build(out, pkg string, kind entries, symbols bool, pgo string) error {
	if v := runtime.Version(); v != pinnedGo {
		return fmt.Errorf("this is %s, but the kernel is written for %s, whose runtime it knows; "+
			"run the go command with GOTOOLCHAIN=%s", v, pinnedGo, pinnedGo)
	}
	tmp, err := os.MkdirTemp("", "mkkernel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	linked := filepath.Join(tmp, "kernel.elf")
	if err := link(linked, pkg, symbols, pgo); err != nil {
		return err
	}
	img, err := os.ReadFile(linked)
	if err != nil {
		return err
	}
	network := pkg == netKernel
	if network {
		if err := trimNetwork(img); err != nil {
			return fmt.Errorf("%s: %w", linked, err)
		}
	}
	small, err := compact(img, network)
	if err != nil {
		return fmt.Errorf("%s: %w", linked, err)
	}
	if !symbols {
		img = small
	}
	if err := patch(img, kind); err != nil {
		return fmt.Errorf("%s: %w", linked, err)
	}
	// Beside it and renamed: nobody ever sees half a kernel.
	half := out + ".tmp"
	if err := os.WriteFile(half, img, 0o644); err != nil {
		os.Remove(half)
		return err
	}
	return os.Rename(half, out)
}

// link runs the stock toolchain.
func link(out, pkg string, symbols bool, pgo string) error {
	// SYSCALL becomes LEAQ 5(IP), CX; JMP kernelsyscall: the return address in
	// CX and nothing pushed, as by the instruction.
	const instructions = `-asmflags=all=-D "SYSCALL=BYTE $0x48; BYTE $0x8d; BYTE $0x0d; LONG $5; JMP kernelsyscall(SB)" ` +
		`-D "CPUID=CALL kernelcpuid(SB)"`
	// -T is a signed flag: this is the text address, sign-extended.
	const text = imagePhys + 0x1000 - (1<<64 - kernelBase)
	strip := "-s -w"
	if symbols {
		strip = ""
	}
	dir := filepath.Dir(out)
	files := overlay{}
	if err := files.undescribe(dir); err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-pgo=" + pgo, "-gcflags=gosv/kernel/metal=-+ -wb=false -B", instructions,
		fmt.Sprintf("-ldflags=%s -checklinkname=0 -funcalign=16 -T=%d -E kernelentry", strip, text)}
	if pkg == netKernel {
		modfile, err := kernelNetstack(dir, files, netKernel)
		if err != nil {
			return err
		}
		args = append(args, "-modfile="+modfile, "-tags=netstack")
	}
	list, err := files.write(dir)
	if err != nil {
		return err
	}
	c := exec.Command("go", append(args, "-overlay="+list, "-o", out, pkg)...)
	c.Env = kernelEnv()
	var stderr bytes.Buffer
	c.Stdout, c.Stderr = os.Stdout, &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("go build of the kernel: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// goList runs go list about the kernel.
func goList(args ...string) ([]byte, error) {
	c := exec.Command("go", append([]string{"list"}, args...)...)
	c.Env = kernelEnv()
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go list of the kernel: %w", err)
	}
	return out, nil
}

// kernelEnv is the environment of go commands about the kernel.
func kernelEnv() []string {
	return append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=",
		"GOEXPERIMENT=norandomizedheapbase64,nogreenteagc", // or the heap's base, and with it the boot's length, differs by build
		"GOTOOLCHAIN="+pinnedGo)
}

// ELF constants (System V ABI; Xen, xen/include/public/elfnote.h).
const (
	ptLoad             = 1
	ptNote             = 4
	ptGNUStack         = 0x6474e551
	noteXenPhys32Entry = 18
	pageSize           = 4096
)

// patch sets the physical addresses and puts note and entry stubs into the ELF
// header page, which the linker leaves mostly empty.
func patch(img []byte, kind entries) error {
	if len(img) < pageSize || string(img[:4]) != "\x7fELF" {
		return errors.New("not an ELF file")
	}
	entry, phoff, phnum := le.Uint64(img[24:]), le.Uint64(img[32:]), int(le.Uint16(img[56:]))
	if phoff+uint64(phnum)*56 > noteAt {
		return errors.New("its program headers reach into the place of the entry stubs")
	}
	if len(bytes.Trim(img[noteAt:headerEnd], "\x00")) != 0 {
		return errors.New("its header page is not empty where the entry stubs go")
	}
	var end uint64
	note := false
	for i := range phnum {
		p := img[phoff+uint64(i)*56:]
		va := le.Uint64(p[16:])
		if va != 0 {
			if va < kernelBase {
				return fmt.Errorf("a segment at %#x, below the kernel's base", va)
			}
			le.PutUint64(p[24:], va-kernelBase)
		}
		switch le.Uint32(p) {
		case ptLoad:
			end = max(end, le.Uint64(p[24:])+le.Uint64(p[40:]))
		case ptGNUStack: // means nothing to a kernel: its header becomes the note's
			if kind == linux64 {
				continue
			}
			le.PutUint32(p, ptNote)
			le.PutUint32(p[4:], 4) // readable
			for j, v := range []uint64{noteAt, kernelBase + imagePhys + noteAt, imagePhys + noteAt, 20, 20, 4} {
				le.PutUint64(p[8+j*8:], v)
			}
			note = true
		}
	}
	if kind != linux64 && !note {
		return errors.New("no PT_GNU_STACK header to turn into the PVH note's")
	}
	if note {
		n := img[noteAt:]
		le.PutUint32(n, 4)     // name's size
		le.PutUint32(n[4:], 4) // descriptor's size
		le.PutUint32(n[8:], noteXenPhys32Entry)
		copy(n[12:], "Xen\x00")
		at := uint32(stubAt)
		if kind == loader {
			at = loaderAt
		}
		le.PutUint32(n[16:], imagePhys+at)
	}
	stub := []byte(entryStub)
	tables := (end + pageSize - 1) &^ (pageSize - 1)
	for _, s := range [][]byte{stub, stub[entry64:]} {
		for _, f := range []struct{ mark, value uint32 }{{0x11111111, uint32(tables)}, {0x22222222, uint32(entry)}} {
			at := bytes.Index(s, le.AppendUint32(nil, f.mark))
			if at < 0 {
				return fmt.Errorf("entry stub without the mark %#x", f.mark)
			}
			le.PutUint32(s[at:], f.value)
		}
	}
	copy(img[stubAt:loaderAt], stub)
	le.PutUint64(img[24:], imagePhys+stubAt+entry64)
	if kind == loader {
		l := []byte(loaderStub)
		at := bytes.Index(l, le.AppendUint32(nil, 0x33333333))
		if at < 0 || loaderAt+len(l) > headerEnd {
			return errors.New("the loader stub is malformed")
		}
		le.PutUint32(l[at:], imagePhys+stubAt+entry64)
		copy(img[loaderAt:], l)
	}
	return nil
}
