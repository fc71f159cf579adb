package image

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed all:kernels
var kernels embed.FS

// Kernel returns the guest kernel that this program carries: an ELF file with
// a PVH note and a Linux 64-bit entry.
func Kernel() ([]byte, error) {
	b, err := kernels.ReadFile("kernels/gosv.elf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this gosv was built without a kernel: run make in its source")
	}
	return b, err
}
