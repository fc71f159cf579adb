package metal

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestCopy: all that is copied, and nothing besides, without AVX, which the tests in VMs have.
func TestCopy(t *testing.T) {
	const most = 300
	src := make([]byte, most+16)
	for i := range src {
		src[i] = byte(i*7 + 1)
	}
	for n := range most {
		for _, off := range []int{0, 1, 13} {
			dst := make([]byte, most+16)
			want := bytes.Clone(dst)
			copy(want[off:][:n], src[off:])
			left := Copy(uintptr(unsafe.Pointer(&dst[off])), uintptr(unsafe.Pointer(&src[off])), uintptr(n))
			if left != 0 || !bytes.Equal(dst, want) {
				t.Fatalf("%d bytes at %d: %d left, %v", n, off, left, dst)
			}
		}
	}
}
