package main

import (
	"fmt"
	"os"
)

// fileSize returns the size of a file in bytes.
func fileSize(name string) (float64, string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, "", err
	}
	return float64(info.Size()), "", nil
}

// imageSize returns the size of the Go hello's application image in bytes.
func (b *bench) imageSize() (float64, string, error) {
	img, err := b.image(helloGo)
	if err != nil {
		return 0, "", err
	}
	return fileSize(img)
}

// leastMemory finds the least memory in MiB with which p prints its line and
// ends with code 0, on QEMU.
func (b *bench) leastMemory(p program) (float64, string, error) {
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	works := func(mib int) error {
		out, err := b.runGosv(img, "-m", fmt.Sprint(mib))
		if err == nil && out != helloLine+"\n" {
			err = fmt.Errorf("it printed %q", out)
		}
		return err
	}
	const most, impossible = 64, 1
	if err := works(most); err != nil {
		return 0, "", fmt.Errorf("with %d MiB: %w", most, err)
	}
	return float64(least(impossible, most, func(mib int) bool { return works(mib) == nil })), "", nil
}

// least returns the least n for which ok holds, if it does not hold for no and
// holds for yes and all between them from some n on.
func least(no, yes int, ok func(n int) bool) int {
	for yes-no > 1 {
		if n := (no + yes) / 2; ok(n) {
			yes = n
		} else {
			no = n
		}
	}
	return yes
}
