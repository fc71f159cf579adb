package linux

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"gosv/kernel/metal"
)

// The offsets are those that C libraries and the Go runtime are compiled with.
func TestSigFrameLayout(t *testing.T) {
	var f sigFrame
	uc := unsafe.Offsetof(f.uc)
	mc := uc + unsafe.Offsetof(f.uc.mc)
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof(struct ucontext)", unsafe.Sizeof(f.uc), 304},
		{"sizeof(siginfo_t)", unsafe.Sizeof(f.info), 128},
		{"sizeof(struct rt_sigframe)", unsafe.Sizeof(f), 440},
		{"sizeof(struct _fpx_sw_bytes)", unsafe.Sizeof(fpSW{}), 48},
		{"sizeof(struct sigaction)", unsafe.Sizeof(sigAction{}), 32},
		{"sizeof(stack_t)", unsafe.Sizeof(sigStack{}), 24},
		{"uc", uc, 8},
		{"uc.stack", uc + unsafe.Offsetof(f.uc.stack), 24},
		{"r8", mc + unsafe.Offsetof(f.uc.mc.r8), 48},
		{"rdi", mc + unsafe.Offsetof(f.uc.mc.di), 48 + 64},
		{"rsp", mc + unsafe.Offsetof(f.uc.mc.sp), 48 + 120},
		{"rip", mc + unsafe.Offsetof(f.uc.mc.ip), 48 + 128},
		{"eflags", mc + unsafe.Offsetof(f.uc.mc.fl), 48 + 136},
		{"cs", mc + unsafe.Offsetof(f.uc.mc.cs), 48 + 144},
		{"err", mc + unsafe.Offsetof(f.uc.mc.err), 48 + 152},
		{"cr2", mc + unsafe.Offsetof(f.uc.mc.cr2), 48 + 176},
		{"fpstate", mc + unsafe.Offsetof(f.uc.mc.fpstate), 48 + 184},
		{"uc.mask", uc + unsafe.Offsetof(f.uc.mask), 8 + 296},
		{"info", unsafe.Offsetof(f.info), 8 + 304},
		{"si_code", unsafe.Offsetof(f.info.code), 8},
		{"si_addr", unsafe.Offsetof(f.info.field), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.name, c.got, c.want)
		}
	}
}

func TestFrameAt(t *testing.T) {
	for sp := uintptr(0x7ffff000); sp < 0x7ffff000+200; sp++ {
		for _, size := range []uintptr{512, 836, 2700} {
			frame, fp := frameAt(sp, size)
			switch {
			case fp%64 != 0, fp+size > sp:
				t.Fatalf("FP state at %#x", fp)
			case (frame+8)%16 != 0, frame+unsafe.Sizeof(sigFrame{}) > fp:
				t.Fatalf("frame at %#x", frame)
			case sp-frame > sigFrameMax(int(size)-4):
				t.Fatalf("a frame takes %d bytes, more than AT_MINSIGSTKSZ", sp-frame)
			}
		}
	}
}

// regsWords is how many words of metal.Regs a frame saves and restores.
const regsWords = 18

func TestFrameRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		r := new(metal.Regs)
		words := (*[regsWords]uintptr)(unsafe.Pointer(r))
		for i := range words {
			words[i] = uintptr(rnd.Uint64())
		}
		r.IP &= 1<<46 - 1
		r.FL = r.FL&flUser | flFixed
		r.Full = uintptr(rnd.Uint64() & 1)
		want := *r
		if r.Full == 0 { // SYSCALL has overwritten these
			want.CX, want.R11 = r.IP, r.FL
		}
		want.Full = 1
		var f sigFrame
		f.fill(r, 0x1000, true)
		got := new(metal.Regs)
		if !f.uc.mc.restore(got) {
			t.Fatal("refused")
		}
		if *got != want {
			t.Fatalf("got %+v, want %+v", *got, want)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	var f sigFrame
	r := &metal.Regs{IP: 0x400000}
	for name, spoil := range map[string]func(c *sigContext){
		"kernel address": func(c *sigContext) { c.ip = 1 << 63 },
		"non-canonical":  func(c *sigContext) { c.ip = 1 << 47 },
		"kernel code":    func(c *sigContext) { c.cs = 8 },
		"32-bit code":    func(c *sigContext) { c.cs = 0x23 },
		"kernel stack":   func(c *sigContext) { c.ss = 0x10 },
	} {
		f.fill(r, 0, false)
		spoil(&f.uc.mc)
		if f.uc.mc.restore(new(metal.Regs)) {
			t.Error("accepted:", name)
		}
	}
	f.fill(r, 0, false)
	f.uc.mc.fl = 3<<12 | 1<<17 | flCF // I/O privilege, virtual 8086 mode, carry
	got := new(metal.Regs)
	f.uc.mc.restore(got)
	if got.FL != flCF|flFixed {
		t.Errorf("flags %#x", got.FL)
	}
}

func TestCheckFP(t *testing.T) {
	r := new(metal.Regs)
	for i := range r.FP {
		r.FP[i] = 0xff
	}
	checkFP(r, 7, 3)
	if mx := *(*uint32)(unsafe.Pointer(&r.FP[mxcsrAt])); mx != mxcsrMask {
		t.Errorf("MXCSR %#x", mx)
	}
	if h := *(*[8]uint64)(unsafe.Pointer(&r.FP[xsHeader])); h != [8]uint64{3} {
		t.Errorf("XSAVE header %#x", h)
	}
	describeFP(r, 832, 7)
	sw := (*fpSW)(unsafe.Pointer(&r.FP[fpSWOffset]))
	if sw.magic1 != fpMagic1 || sw.size != 832 || sw.extendedSize != 836 || sw.features != 7 {
		t.Errorf("description %+v", *sw)
	}
}

func TestSigStack(t *testing.T) {
	var s sigStack
	if s.usable() || s.report(0).flags != 0 && s.report(0).flags != ssDisable {
		t.Error("a stack from nothing")
	}
	if err := s.set(&sigStack{sp: 0x1000, size: minSigStack - 1}); err != ENOMEM {
		t.Error("too small:", err)
	}
	if err := s.set(&sigStack{sp: 0x1000, size: 0x4000, flags: 64}); err != EINVAL {
		t.Error("unknown flag:", err)
	}
	if err := s.set(&sigStack{sp: 0x1000, size: 0x4000}); err != 0 {
		t.Error(err)
	}
	for sp, on := range map[uintptr]bool{0x1000: false, 0x1001: true, 0x5000: true, 0x5001: false} {
		if s.holds(sp) != on {
			t.Errorf("holds(%#x) = %v", sp, !on)
		}
	}
	if f := s.report(0x2000).flags; f != ssOnStack {
		t.Errorf("flags %d", f)
	}
}
