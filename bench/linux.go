package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// linuxInit is the program of the Linux guest, microInit the one that leads to another.
var (
	linuxInit = program{"init", "gcc", "bench/linux/init.c"}
	microInit = program{"microinit", "gcc", "bench/linux/microinit.c"}
)

// linuxRatio returns the whole life of p on Firecracker in parts of that of
// a Linux guest which prints the same line: both in tools/kvmbox, by turns, the
// median of the pairs' ratios.
func (b *bench) linuxRatio(p program) (float64, string, error) {
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	linux, err := b.linuxMachine(linuxInit)
	if err != nil {
		return 0, "", err
	}
	us, err := b.firecracker(b.machine(img, 1), "gosv")
	if err != nil {
		return 0, "", err
	}
	them, err := b.firecracker(linux, "linux")
	if err != nil {
		return 0, "", err
	}
	const pairs = 5
	script := fmt.Sprintf("for i in $(seq %d); do read a x </proc/uptime; %s; read b x </proc/uptime; %s; read c x </proc/uptime; "+
		"echo; echo times $a $b $c; done", pairs, vmm.Quote(us), vmm.Quote(them))
	out, err := b.kvmbox(nil, us[0], []string{"sh", "-c", script})
	if err != nil {
		return 0, "", err
	}
	if got, want := strings.Count(out, helloLine), 2*pairs; got != want {
		return 0, "", fmt.Errorf("%d lines %q, not %d:\n%s", got, helloLine, want, out)
	}
	ratio, err := parseTimes(out)
	return ratio, "", err
}

// parseTimes returns the median ratio of pairs of runs from lines "times S S S":
// the seconds before, between and after them. The box has a serial console.
func parseTimes(out string) (float64, error) {
	var ratios []float64
	for _, m := range regexp.MustCompile(`(?m)^times (\S+) (\S+) (\S+)\r?$`).FindAllStringSubmatch(out, -1) {
		at, err := numbers(m[1:]...)
		if err != nil {
			return 0, err
		}
		ratios = append(ratios, (at[1]-at[0])/(at[2]-at[1]))
	}
	if len(ratios) == 0 {
		return 0, fmt.Errorf("no times in\n%s", out)
	}
	return median(ratios), nil
}

func numbers(texts ...string) (list []float64, err error) {
	for _, t := range texts {
		n, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// known is what the Linux guest needs not find out, and does not on a busy host: the rate of its TSC
// (right where instructions are counted, else the same for all), and that its
// timers work. It starts with one CPU: see microinit.c.
const known = " tsc_early_khz=1000000 lpj=4000000 no_timer_check cpu_init_udelay=0 cryptomgr.notests=1 maxcpus=1 reboot=t"

// runLinux runs p on a Linux guest on QEMU's TCG, for so many seconds at most, and
// returns what it prints.
func (b *bench) runLinux(cpus, seconds int, qemuArgs []string, p program) (string, error) {
	q, err := qemu.New("tcg", "microvm", qemuArgs)
	if err != nil {
		return "", skip(err.Error())
	}
	m, err := b.linuxMachine(microInit, p)
	if err != nil {
		return "", err
	}
	m.CPUs = cpus
	m.CmdLine += known + " -- /" + p.name
	cmd, err := q.Command(m, b.dir)
	if err != nil {
		return "", err
	}
	out, err := command("timeout", append([]string{strconv.Itoa(seconds)}, cmd.Argv...)...)
	return strings.ReplaceAll(out, "\r\n", "\n"), err // its console is a terminal
}

// linuxMachine makes a VM of Debian's cloud kernel with the first of programs as
// its init.
func (b *bench) linuxMachine(programs ...program) (*vmm.Machine, error) {
	for _, tool := range []string{"cpio", "lz4"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, skip("no " + tool + " (Debian: apt-get install " + tool + ")")
		}
	}
	kernels, err := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	if err != nil {
		return nil, err
	}
	if len(kernels) == 0 {
		return nil, skip("no cloud kernel in /boot (Debian: apt-get install linux-image-cloud-amd64)")
	}
	bzImage, err := os.ReadFile(kernels[len(kernels)-1])
	if err != nil {
		return nil, err
	}
	payload, err := linuxPayload(bzImage)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kernels[len(kernels)-1], err)
	}
	packed, kernel := filepath.Join(b.dir, "vmlinux.lz4"), filepath.Join(b.dir, "vmlinux")
	if err := os.WriteFile(packed, payload, 0o644); err != nil {
		return nil, err
	}
	if _, err := command("lz4", "-d", "-q", "-f", packed, kernel); err != nil {
		return nil, err
	}
	var names []string
	for _, p := range programs {
		if p.source != "" { // others are files that are there
			if _, err := b.compile(p); err != nil {
				return nil, err
			}
		}
		names = append(names, p.name)
	}
	initrd := filepath.Join(b.dir, names[0]+".initrd")
	if _, err := command("sh", "-c", `cd "$1" && echo "$2" | cpio -o -H newc --quiet >"$3"`, "sh", b.dir, strings.Join(names, "\n"), initrd); err != nil {
		return nil, err
	}
	return &vmm.Machine{
		Kernel: kernel, Image: initrd, Memory: 128, CPUs: 1,
		CmdLine: "console=ttyS0 reboot=k panic=1 quiet tsc=reliable rdinit=/" + names[0],
	}, nil
}

// linuxModules puts modules of the guest's kernel beside its programs, as a.ko, b.ko, ...
func (b *bench) linuxModules(names []string) (modules []program, err error) {
	for i, m := range names {
		found, err := filepath.Glob("/lib/modules/*-cloud-amd64/kernel/" + m + ".ko")
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, skip("no " + m + ".ko (Debian: apt-get install linux-image-cloud-amd64)")
		}
		text, err := os.ReadFile(found[len(found)-1])
		if err != nil {
			return nil, err
		}
		name := string(rune('a'+i)) + ".ko"
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o644); err != nil {
			return nil, err
		}
		modules = append(modules, program{name: name})
	}
	return modules, nil
}

// linuxPayload finds the compressed vmlinux in a bzImage (Linux,
// Documentation/arch/x86/boot.rst) and returns it as an LZ4 file.
func linuxPayload(bzImage []byte) ([]byte, error) {
	const (
		setupSects    = 0x1f1
		payloadOffset = 0x248
		payloadLength = 0x24c
		sizeTrailer   = 4 // the unpacked size, which lz4 does not know
	)
	if len(bzImage) < payloadLength+4 {
		return nil, errors.New("too short for a bzImage")
	}
	sects := uint64(bzImage[setupSects])
	start := (sects+1)*512 + uint64(binary.LittleEndian.Uint32(bzImage[payloadOffset:]))
	end := start + uint64(binary.LittleEndian.Uint32(bzImage[payloadLength:]))
	if end > uint64(len(bzImage)) || end < start+sizeTrailer {
		return nil, errors.New("its payload lies outside of it")
	}
	payload := bzImage[start : end-sizeTrailer]
	if !bytes.HasPrefix(payload, []byte{0x02, 0x21, 0x4c, 0x18}) {
		return nil, skip("its payload is not packed with LZ4")
	}
	return payload, nil
}
