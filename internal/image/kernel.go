package image

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed all:kernels
var kernels embed.FS

// Kernel returns the guest kernel that this program carries: an ELF file with
// a PVH note and a Linux 64-bit entry. There are two, with and without a network.
func Kernel(network bool) ([]byte, error) {
	name := "kernels/gosv.elf"
	if network {
		name = "kernels/gosv-net.elf"
	}
	b, err := kernels.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this gosv was built without a kernel: run make in its source")
	}
	return b, err
}
