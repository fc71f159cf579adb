package metal

import (
	"math/rand/v2"
	host "syscall"
	"testing"
	"unsafe"
)

// TestFreeHuges: what came back is given out again, once, and hardly any of it is written to meanwhile.
func TestFreeHuges(t *testing.T) {
	const n = 3 * hugesMost
	b, err := host.Mmap(-1, 0, (n+1)*pageSize2M, host.PROT_READ|host.PROT_WRITE, host.MAP_PRIVATE|host.MAP_ANONYMOUS|host.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Munmap(b)
	first := (uintptr(unsafe.Pointer(&b[0])) + pageSize2M - 1) &^ (pageSize2M - 1)
	in := map[uintptr]bool{}
	push := func(f uintptr) {
		if in[f] {
			t.Fatalf("%#x was given out twice", f)
		}
		in[f] = true
		pushHuge(f)
	}
	pop := func() (f uintptr) {
		if f = popHuge(); f != 0 && !in[f] {
			t.Fatalf("%#x was given out, but is not free", f)
		}
		delete(in, f)
		return f
	}
	for i := range uintptr(n) {
		push(first + i*pageSize2M)
	}
	resident := 0
	pages := make([]byte, len(b)/4096)
	if _, _, err := host.Syscall(host.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); err != 0 {
		t.Fatal(err)
	}
	for i := 0; i+512 <= len(pages); i += 512 {
		for _, p := range pages[i : i+512] {
			if p&1 != 0 {
				resident++
				break
			}
		}
	}
	if resident > 3 {
		t.Errorf("%d of %d large pages were written to", resident, n)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var out []uintptr
	for range 100_000 {
		if len(out) > 0 && random.IntN(2) == 0 {
			push(out[len(out)-1])
			out = out[:len(out)-1]
		} else if f := pop(); f != 0 {
			out = append(out, f)
		}
	}
	for pop() != 0 {
		out = append(out, 0)
	}
	if len(out) != n || len(in) != 0 {
		t.Errorf("%d of %d came back, %d are missing", len(out), n, len(in))
	}
}
