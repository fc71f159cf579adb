package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gosv/internal/network"
	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// web is the server that is measured, ask its client, linuxWeb the init that leads to the
// server in a Linux guest, and linuxNet the modules that has need of.
var (
	web      = program{"web", "", "./bench/web"}
	asker    = program{"ask", "", "./bench/ask"}
	linuxWeb = program{"webinit", "gcc", "bench/linux/webinit.c"}
	linuxNet = []string{ // in the order in which they need each other
		"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio",
		"net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net",
	}
	webResult = regexp.MustCompile(`web (\w+) ([0-9.]+)$`)
)

// The things that ask asks for.
const (
	webFirst       = "first"
	webRequests    = "requests"
	webConnections = "connections"
	webDownload    = "download" // in megabytes,
	webUpload      = "upload"   // of which a request has webBulk
	webBulk        = 8
)

// webMachine is a VM that runs web with a network and this argument.
func (b *bench) webMachine(linux bool, arg string) (*vmm.Machine, error) {
	bin, err := b.compile(web)
	if err != nil {
		return nil, err
	}
	if linux {
		modules, err := b.linuxModules(linuxNet)
		if err != nil {
			return nil, err
		}
		m, err := b.linuxMachine(append([]program{linuxWeb, web}, modules...)...)
		if err == nil {
			m.CmdLine += " -- " + arg
		}
		return m, err
	}
	img := bin + arg + ".img"
	if _, err := commandIn(b.dir, b.gosv, "build", "-o", img, "./"+filepath.Base(bin), arg); err != nil {
		return nil, err
	}
	m := b.machine(img, 1)
	m.Kernel = b.netKernel
	m.CmdLine += " gosv.ip=" + vmm.UserAddress
	return m, nil
}

// firstAnswer counts the guest's instructions from the start of the VM until
// a client of the host's has been answered: the median, since the client and the guest do not
// keep step.
func (b *bench) firstAnswer() (float64, string, error) {
	runs := make([]float64, 5)
	for i := range runs {
		counts, err := b.countWeb(false, nil, 1)
		if err != nil {
			return 0, "", err
		}
		if runs[i], err = parseCounts(counts, "answered"); err != nil {
			return 0, "", err
		}
	}
	return median(runs), "", nil
}

// webInstructions counts the instructions of one of so many things.
func (b *bench) webInstructions(linux bool, thing string, count int) (float64, string, error) {
	requests, each := count, 1
	if thing == webDownload || thing == webUpload {
		requests, each = count/webBulk, webBulk
	}
	requests++ // the first
	counts, err := b.countWeb(linux, nil, requests, thing, strconv.Itoa(count))
	if err != nil {
		return 0, "", err
	}
	half, err := parseCounts(counts, "half")
	if err != nil {
		return 0, "", err
	}
	end, err := parseCounts(counts, "answered")
	return (end - half) / float64(requests-requests/2) / float64(each), "", err
}

// countWeb runs a VM that serves so many requests with tools/icount, which has env too, while ask asks
// for a first answer and then for things, and returns what that has counted.
func (b *bench) countWeb(linux bool, env []string, requests int, things ...string) ([]byte, error) {
	m, err := b.webMachine(linux, strconv.Itoa(requests))
	if err != nil {
		return nil, err
	}
	out := filepath.Join(b.dir, "web.insn")
	_, err = b.serve(m, func(argv []string) []string {
		// The server waits for the client as long as the client takes: what is due in a second
		// does not come before the answer.
		return slices.Concat([]string{"env", "SLEEP=on", "T=300"}, env, []string{"tools/icount/icount", out}, argv[1:])
	}, append([]string{webFirst, "1"}, things...)...)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// bounded is a command that may take five minutes.
func bounded(argv []string) []string { return append([]string{"timeout", "300"}, argv...) }

// serve lets ask run m, which serves, on QEMU by the command that run makes, and ask it for
// these things. It returns what ask has printed.
func (b *bench) serve(m *vmm.Machine, run func(argv []string) []string, things ...string) (string, error) {
	client, err := b.compile(asker)
	if err != nil {
		return "", err
	}
	q, err := qemu.New("tcg", "microvm", nil)
	if err != nil {
		return "", skip(err.Error())
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	forwards := []network.Forward{{Network: "tcp", Host: port, Guest: 80}}
	m.Devices.Nets, m.Devices.Wire = []vmm.Net{{Forwards: forwards}}, true
	wire, err := network.NewWire(forwards, true)
	if err != nil {
		return "", err
	}
	c, err := q.Command(m, b.dir)
	if err != nil {
		wire.Close()
		return "", err
	}
	cmd := exec.Command(client, slices.Concat([]string{"http://" + port.String()}, things, []string{"--"}, run(c.Argv))...)
	var asked, output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &asked, &output
	if err := wire.Start(cmd); err != nil {
		wire.Close()
		return "", err
	}
	user, err := wire.Connect()
	if err != nil {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		return "", err
	}
	defer user.Close()
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", asker.name, err, strings.TrimSpace(output.String()+asked.String()))
	}
	return asked.String(), nil
}

// boxAddress is the guest's address in the box, as QEMU's user network and webinit.c have
// it, boxMAC the one of its network card.
const (
	boxAddress = "10.0.2.15"
	boxMAC     = "52:54:00:12:34:56"
)

// boxWire is the shell command that makes the TAP device. It knows the guest's address, so
// that packets can be lost but not wait for an answer to ARP, which is asked for again
// only after a second, and has no route to the guest before the VMM is there: who connects learns
// that at once, and what is sent later waits for the guest.
const boxWire = "tunctl -t " + network.TAP + " >/dev/null; ip addr add 10.0.2.2/24 dev " + network.TAP + "; ip link set " + network.TAP + " up; " +
	"arp -s " + boxAddress + " " + boxMAC + "; echo 1 >/proc/sys/net/ipv4/conf/" + network.TAP + "/ignore_routes_with_linkdown; "

// boxWeb returns shell commands that let ask run web, with this argument, on Firecracker and ask
// it for things, and the VMM's path.
func (b *bench) boxWeb(linux bool, arg, things string) (script, path string, err error) {
	m, err := b.webMachine(linux, arg)
	if err != nil {
		return "", "", err
	}
	return b.boxServe(m, fmt.Sprintf("web-%v-%s", linux, arg), things)
}

// boxServe is boxWeb with a machine that serves, whose configuration is in the directory name.
func (b *bench) boxServe(m *vmm.Machine, name, things string) (script, path string, err error) {
	client, err := b.compile(asker)
	if err != nil {
		return "", "", err
	}
	m.Devices.Nets = []vmm.Net{{TAP: network.TAP, MAC: boxMAC}}
	argv, err := b.firecracker(m, name)
	if err != nil {
		return "", "", err
	}
	return fmt.Sprintf("%s http://%s %s -- %s 2>/tmp/vm || cat /tmp/vm; ", client, boxAddress, things, vmm.Quote(argv)), argv[0], nil
}

// webThings are what ask asks for to measure rates, and webNames how many results that has.
const (
	webThings = "first 1 requests %d connections %d download %d upload %[3]d end 1"
	webNames  = 5
)

// boxRate returns how much of a thing there is in a second, on Firecracker in tools/kvmbox. The
// first answer counts from the VM's start.
func (b *bench) boxRate(thing string, linux bool) (float64, string, error) {
	return b.boxWebs.get(thing, linux, b.measureBoxWeb)
}

func (b *bench) measureBoxWeb() (gosv, linux map[string][]float64, err error) {
	const turns = 3
	things := fmt.Sprintf(webThings, 1024, 512, 64)
	us, path, err := b.boxWeb(false, "0", things)
	if err != nil {
		return nil, nil, err
	}
	them, _, err := b.boxWeb(true, "0", things)
	if err != nil {
		return nil, nil, err
	}
	script := boxWire + fmt.Sprintf("for i in $(seq %d); do echo; echo gosv; %s echo; echo linux; %s done; exit 0", turns, us, them)
	out, err := b.kvmbox([]string{"-t", "900"}, path, []string{"sh", "-c", script})
	if err != nil {
		return nil, nil, err
	}
	return parseRates(out, webResult, webNames, turns)
}

// webRate is boxRate on QEMU's TCG, which is the same machine for both.
func (b *bench) webRate(thing string, linux bool) (float64, string, error) {
	return b.webs.get(thing, linux, b.measureWeb)
}

func (b *bench) measureWeb() (gosv, linux map[string][]float64, err error) {
	const turns = 3
	things := strings.Fields(fmt.Sprintf(webThings, 2048, 1024, 64))
	var out strings.Builder
	for range turns {
		for _, linux := range []bool{false, true} {
			name := "gosv"
			m, err := b.webMachine(linux, "0")
			if err != nil {
				return nil, nil, err
			}
			if linux {
				name = "linux"
				m.CmdLine = tscRate() + " " + m.CmdLine
			}
			rates, err := b.serve(m, bounded, things...)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(&out, "%s\n%s\n", name, rates)
		}
	}
	return parseRates(out.String(), webResult, webNames, turns)
}

// tscRate tells a Linux guest on QEMU's TCG the rate of its TSC, which is the host's: it has no
// clock there to measure that with. Roughly will do.
func tscRate() string {
	khz := 1_000_000.0
	info, _ := os.ReadFile("/proc/cpuinfo") // it is always there
	if m := regexp.MustCompile(`(?m)^cpu MHz\s*: ([0-9.]+)$`).FindSubmatch(info); m != nil {
		if mhz, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
			khz = mhz * 1000
		}
	}
	return fmt.Sprintf("tsc_early_khz=%.0f", khz)
}

// boxStart counts the instructions from Firecracker's start in tools/kvmbox to the first answer:
// the guest's, Firecracker's, KVM's and the client's.
func (b *bench) boxStart(linux bool) (float64, string, error) {
	const turns = 3
	script, path, err := b.boxWeb(linux, "0", "first 1 end 1")
	if err != nil {
		return 0, "", err
	}
	counts := filepath.Join(b.dir, "start.insn")
	if _, err := b.kvmbox([]string{"-i", counts, "-t", "900"}, path, []string{"sh", "-c", boxWire + strings.Repeat(script, turns) + "exit 0"}); err != nil {
		return 0, "", err
	}
	text, err := os.ReadFile(counts)
	if err != nil {
		return 0, "", err
	}
	n, err := parseStarts(text)
	return n, "", err
}

// parseStarts returns the median of what ask took from its start line to its first answer, of
// icount's output.
func parseStarts(counts []byte) (float64, error) {
	var spans []float64
	for _, m := range regexp.MustCompile(`(?m)^line .*\bnewline=(\d+) .*\| start\nline .*\bnewline=(\d+) .*\| web `+webFirst+` `).FindAllSubmatch(counts, -1) {
		at, err := numbers(string(m[1]), string(m[2]))
		if err != nil {
			return 0, err
		}
		spans = append(spans, at[1]-at[0])
	}
	if len(spans) == 0 {
		return 0, fmt.Errorf("no starts in the counts:\n%s", counts)
	}
	return median(spans), nil
}

// webExits counts the VM exits of one of many things: those that more of them cause.
func (b *bench) webExits(linux bool, thing string, few, many int) (float64, string, error) {
	var total [2]float64
	for i, count := range []int{few, many} {
		script, path, err := b.boxWeb(linux, "0", fmt.Sprintf("first 1 %s %d end 1", thing, count))
		if err != nil {
			return 0, "", err
		}
		out, err := b.kvmbox([]string{"-e", "-t", "600"}, path, []string{"sh", "-c", boxWire + script + "exit 0"})
		if err != nil {
			return 0, "", err
		}
		if !strings.Contains(out, "web "+thing) {
			return 0, "", fmt.Errorf("no result in its output:\n%s", out)
		}
		if total[i], _, err = parseExits(out); err != nil {
			return 0, "", err
		}
	}
	return (total[1] - total[0]) / float64(many-few), "", nil
}

// freePort is a port of the host that nobody uses now.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("no port to be had: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}
