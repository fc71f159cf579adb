package vmm

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of /dev/kvm (Linux, Documentation/virt/kvm/api.rst).
const (
	kvmCreateVM            = 0xae01
	kvmGetVCPUMmapSize     = 0xae04
	kvmCreateVCPU          = 0xae41
	kvmSetUserMemoryRegion = 0x4020ae46
	kvmRun                 = 0xae80
	kvmSetRegs             = 0x4090ae82
	kvmGetSregs            = 0x8138ae83
	kvmSetSregs            = 0x4138ae84

	kvmExitHlt = 5
)

type kvmSegment struct {
	base                           uint64
	limit                          uint32
	selector                       uint16
	typ, present, dpl, db, s, l, g uint8
	avl, unusable, _               uint8
}

type kvmSregs struct {
	cs, ds, es, fs, gs, ss, tr, ldt         kvmSegment
	gdt, idt                                [2]uint64
	cr0, cr2, cr3, cr4, cr8, efer, apicBase uint64
	interrupts                              [4]uint64
}

// probeKVM runs a few instructions at ring 0 in a virtual machine, an SSE one
// among them: some nested KVMs interpret ring 0 and know no SSE there, which a
// kernel that is compiled Go is full of.
func probeKVM(kvm *os.File) error {
	ioctl := func(fd, req, arg uintptr) (uintptr, error) {
		for {
			r, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, req, arg)
			if errno == unix.EINTR {
				continue
			}
			if errno != 0 {
				return 0, errno
			}
			return r, nil
		}
	}
	size, err := ioctl(kvm.Fd(), kvmGetVCPUMmapSize, 0)
	if err != nil {
		return err
	}
	vm, err := ioctl(kvm.Fd(), kvmCreateVM, 0)
	if err != nil {
		return fmt.Errorf("creating a VM: %w", err)
	}
	defer unix.Close(int(vm))
	const memory, code = 64 << 10, 0x1000
	mem, err := unix.Mmap(-1, 0, memory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer unix.Munmap(mem)
	copy(mem[code:], "\x0f\x57\xc0"+ // xorps %xmm0, %xmm0
		"\x0f\x29\x05\x00\x20\x00\x00"+ // movaps %xmm0, 0x2000
		"\xf4") // hlt
	region := struct {
		slot, flags       uint32
		guest, size, user uint64
	}{size: memory, user: uint64(uintptr(unsafe.Pointer(&mem[0])))}
	if _, err := ioctl(vm, kvmSetUserMemoryRegion, uintptr(unsafe.Pointer(&region))); err != nil {
		return err
	}
	cpu, err := ioctl(vm, kvmCreateVCPU, 0)
	if err != nil {
		return fmt.Errorf("creating a virtual CPU: %w", err)
	}
	defer unix.Close(int(cpu))
	run, err := unix.Mmap(int(cpu), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(run)
	var s kvmSregs
	if _, err := ioctl(cpu, kvmGetSregs, uintptr(unsafe.Pointer(&s))); err != nil {
		return err
	}
	flat := kvmSegment{limit: 0xffffffff, selector: 16, typ: 3, present: 1, db: 1, s: 1, g: 1}
	s.ds, s.es, s.fs, s.gs, s.ss = flat, flat, flat, flat, flat
	s.cs = flat
	s.cs.selector, s.cs.typ = 8, 11
	s.cr0 = 0x11  // PE, ET
	s.cr4 = 0x600 // OSFXSR, OSXMMEXCPT
	if _, err := ioctl(cpu, kvmSetSregs, uintptr(unsafe.Pointer(&s))); err != nil {
		return err
	}
	regs := [18]uint64{16: code, 17: 2} // rip, rflags
	if _, err := ioctl(cpu, kvmSetRegs, uintptr(unsafe.Pointer(&regs))); err != nil {
		return err
	}
	if _, err := ioctl(cpu, kvmRun, 0); err != nil {
		return fmt.Errorf("running a virtual CPU: %w", err)
	}
	if reason := *(*uint32)(unsafe.Pointer(&run[8])); reason != kvmExitHlt {
		return errors.New("it does not execute SSE instructions at ring 0 (a nested KVM that interprets?)")
	}
	return nil
}
