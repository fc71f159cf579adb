//go:build ignore

// Capture boots a stub on real VMMs and writes what they leave in memory for a
// kernel to *.mem files, which the tests of package boot read:
//
//	cd kernel/boot/testdata && go run capture/capture.go [NAME...]
//
// It needs qemu-system-x86_64, as and ld, and for Firecracker the kvmbox. Every
// look into memory is a boot of its own: layouts do not change between them.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

type machine struct {
	name  string
	entry string // pvh or linux64
	run   func(kernel string) (console []byte, err error)
}

var machines = []machine{
	{"microvm", "pvh", qemu("microvm", 2)},
	{"microvm-noacpi", "pvh", qemu("microvm,acpi=off", 3)},
	{"pc", "pvh", qemu("pc", 2)},
	{"q35", "pvh", qemu("q35", 4, "-initrd", "capture/stub.S")},
	{"pc-noacpi", "pvh", qemu("pc,acpi=off", 2)},
	{"firecracker", "pvh", firecracker(2, "", "")},
	{"firecracker-linux64", "linux64", firecracker(1, "", "")},

	// With devices.
	{"microvm-devices", "pvh", qemu("microvm", 1, virtio("device")...)},
	{"microvm-noacpi-devices", "pvh", qemu("microvm,acpi=off", 1, virtio("device")...)},
	{"microvm-pcie", "pvh", qemu("microvm,pcie=on", 1, virtio("pci")...)},
	{"pc-devices", "pvh", qemu("pc", 1, append(virtio("pci"), "-device", "vmgenid,guid=auto", "-device", "pvpanic")...)},
	{"q35-devices", "pvh", qemu("q35", 1, append(virtio("pci"), "-device", "vmgenid,guid=auto", "-device", "pvpanic",
		"-device", "pcie-root-port,id=rp,chassis=1", "-device", "virtio-scsi-pci,bus=rp")...)},
	{"firecracker-devices", "pvh", firecracker(1, fcDevices, "")},
	{"firecracker-pci", "pvh", firecracker(1, fcDevices, "--enable-pci")},
}

func virtio(bus string) []string {
	return []string{"-device", "virtio-rng-" + bus, "-device", "virtio-balloon-" + bus, "-device", "virtio-serial-" + bus}
}

const fcDevices = `,"entropy":{},"balloon":{"amount_mib":0,"deflate_on_oom":false},"vsock":{"guest_cid":3,"uds_path":"/tmp/v"}`

const (
	memory   = "32" // MiB
	lineSize = 192  // of the command line, as much as any of these has
)

func qemu(model string, cpus int, more ...string) func(string) ([]byte, error) {
	return func(kernel string) ([]byte, error) {
		out := kernel + ".out"
		args := append([]string{"30", "qemu-system-x86_64", "-M", model, "-m", memory, "-smp", fmt.Sprint(cpus),
			"-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
			"-serial", "file:" + out, "-kernel", kernel, "-append", "one two=2"}, more...)
		if msg, err := exec.Command("timeout", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("qemu: %v: %s", err, msg)
		}
		return os.ReadFile(out)
	}
}

func firecracker(cpus int, devices, options string) func(string) ([]byte, error) {
	return func(kernel string) ([]byte, error) {
		fc, err := exec.LookPath("firecracker")
		if err != nil {
			return nil, err
		}
		config := kernel + ".json"
		text := fmt.Sprintf(`{"boot-source":{"kernel_image_path":"/tmp/k","initrd_path":"/tmp/k","boot_args":"one two=2"},
			"drives":[],"machine-config":{"vcpu_count":%d,"mem_size_mib":%s}%s}`, cpus, memory, devices)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			return nil, err
		}
		script := kernel + ".sh"
		text = fmt.Sprintf("%s --no-api --config-file /tmp/k.json %s --level Off >/tmp/out; hexdump -v -e '/1 \"%%02x\"' /tmp/out; echo\n", fc, options)
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			return nil, err
		}
		cmd := exec.Command("../../../tools/kvmbox/kvmbox", "-t", "60", "-f", fc, "-f", kernel+":/tmp/k", "-f", config+":/tmp/k.json",
			"-f", script+":/tmp/k.sh", "--", "sh", "/tmp/k.sh")
		var msg bytes.Buffer
		cmd.Stderr = &msg
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("kvmbox: %v: %s", err, msg.Bytes())
		}
		var b []byte
		line := strings.Fields(string(out))
		if _, err := fmt.Sscanf(line[len(line)-1], "%x", &b); err != nil {
			return nil, fmt.Errorf("kvmbox: %v in %q", err, out)
		}
		return b, nil
	}
}

// A capture is what was read of a machine's memory so far.
type capture struct {
	machine
	dir  string
	have map[uint64]byte
}

type span struct{ pa, n uint64 }

// read boots the machine and sends spans of its memory over. It returns the
// boot data's address.
func (c *capture) read(spans ...span) uint64 {
	source, err := os.ReadFile("capture/stub.S")
	check(err)
	text := string(source)
	for _, s := range spans {
		text += fmt.Sprintf("\t.long\t%#x, %#x\n", s.pa, s.n)
	}
	text += "\t.long\t0, 0\n"
	object, kernel := filepath.Join(c.dir, "k.o"), filepath.Join(c.dir, "k")
	as := exec.Command("as", "-o", object, "-")
	if c.entry == "linux64" {
		as.Args = append(as.Args, "--defsym", "LINUX64=1")
	}
	as.Stdin = strings.NewReader(text)
	as.Stderr = os.Stderr
	check(as.Run())
	ld := exec.Command("ld", "-N", "--no-warn-rwx-segments", "-Ttext=0x100000", "-o", kernel, object)
	if c.entry == "pvh" {
		ld.Args = append(ld.Args, "--section-start=.note.xen=0x100800")
	}
	ld.Stderr = os.Stderr
	check(ld.Run())
	out, err := c.run(kernel)
	check(err)
	total := 4
	for _, s := range spans {
		total += int(s.n)
	}
	if len(out) < total {
		log.Fatalf("%s: %d bytes came, not %d: %q", c.name, len(out), total, out[:min(len(out), 100)])
	}
	out = out[len(out)-total:]
	pointer := binary.LittleEndian.Uint32(out)
	out = out[4:]
	for _, s := range spans {
		for i := range s.n {
			c.have[s.pa+i] = out[i]
		}
		out = out[s.n:]
	}
	return uint64(pointer)
}

func (c *capture) u(pa uint64, bytes int) (v uint64) {
	for i := range bytes {
		v |= uint64(c.have[pa+uint64(i)]) << (8 * i)
	}
	return v
}

func (c *capture) text(pa uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = c.have[pa+uint64(i)]
	}
	return string(b)
}

func (c *capture) all() {
	const ebda, mp = 0x40e, 0x9fc00
	data := c.read()
	spans := []span{{0x400, 0x100}, {mp, 0x400}}
	rsdp := uint64(0)
	if c.entry == "pvh" {
		c.read(span{data, 0x38})
		spans = append(spans, span{c.u(data+0x28, 8), c.u(data+0x30, 4) * 24}, span{c.u(data+0x18, 8), lineSize})
		if c.u(data+0x0c, 4) > 0 {
			spans = append(spans, span{c.u(data+0x10, 8), 32})
		}
		rsdp = c.u(data+0x20, 8)
	} else {
		c.read(span{data, 4096})
		spans = append(spans, span{c.u(data+0x228, 4), lineSize})
		rsdp = c.u(data+0x70, 8)
	}
	if rsdp == 0 {
		rsdp = 0xe0000
	}
	c.read(append(spans, span{rsdp, 36})...)
	c.tables(rsdp)
	c.mp(mp)
	file := fmt.Sprintf("%s.mem", c.name)
	text := fmt.Sprintf("# %s, %s MiB; written by capture/capture.go\n%s %#x\n", c.name, memory, c.entry, data)
	check(os.WriteFile(file, []byte(text+c.lines()), 0o644))
}

// tables reads the ACPI tables.
func (c *capture) tables(rsdp uint64) {
	if c.text(rsdp, 8) != "RSD PTR " {
		return
	}
	root, width := c.u(rsdp+24, 8), 8
	if c.u(rsdp+15, 1) < 2 {
		root, width = c.u(rsdp+16, 4), 4
	}
	c.read(span{root, 36})
	size := c.u(root+4, 4)
	c.read(span{root, size})
	var heads, bodies []span
	for off := uint64(36); off < size; off += uint64(width) {
		heads = append(heads, span{c.u(root+off, width), 36})
	}
	c.read(heads...)
	for _, s := range heads {
		if sig := c.text(s.pa, 4); slices.Contains([]string{"FACP", "APIC", "MCFG", "SSDT"}, sig) {
			bodies = append(bodies, span{s.pa, c.u(s.pa+4, 4)})
		}
	}
	c.read(bodies...)
	for _, s := range bodies {
		if c.text(s.pa, 4) != "FACP" {
			continue
		}
		dsdt := c.u(s.pa+40, 4)
		if s.n >= 148 && c.u(s.pa+140, 8) != 0 {
			dsdt = c.u(s.pa+140, 8)
		}
		c.read(span{dsdt, 36})
		c.read(span{dsdt, c.u(dsdt+4, 4)})
	}
}

// mp reads the MP table, which SeaBIOS has in the BIOS area.
func (c *capture) mp(usual uint64) {
	at := usual
	if c.text(at, 4) != "_MP_" {
		scan := &capture{c.machine, c.dir, map[uint64]byte{}}
		scan.read(span{0xf0000, 0x10000})
		for at = 0xf0000; at < 0x100000 && scan.text(at, 4) != "_MP_"; at += 16 {
		}
		if at == 0x100000 {
			return
		}
	}
	c.read(span{at, 16})
	table := c.u(at+4, 4)
	c.read(span{table, 44})
	c.read(span{table, c.u(table+4, 2)})
}

// lines formats memory, 32 bytes a line, leaving out lines of zeros.
func (c *capture) lines() string {
	var at []uint64
	for pa := range c.have {
		at = append(at, pa&^31)
	}
	slices.Sort(at)
	var b strings.Builder
	for _, pa := range slices.Compact(at) {
		if s := c.text(pa, 32); s != string(make([]byte, 32)) {
			fmt.Fprintf(&b, "%x: %x\n", pa, s)
		}
	}
	return b.String()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	for _, m := range machines {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], m.name) {
			continue
		}
		dir, err := os.MkdirTemp("", "capture")
		check(err)
		c := &capture{m, dir, map[uint64]byte{}}
		c.all()
		check(os.RemoveAll(dir))
		fmt.Println(m.name)
	}
}
