package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gosv/internal/network"
	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// web is the server whose answers are counted, linuxWeb the init that leads to it in a Linux
// guest, and linuxNet the modules that has need of.
var (
	web      = program{"web", "", "./bench/web"}
	linuxWeb = program{"webinit", "gcc", "bench/linux/webinit.c"}
	linuxNet = []string{ // in the order in which they need each other
		"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio",
		"net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net",
	}
)

// firstAnswer counts the guest's instructions from the start of the VM until
// a web server has answered a client of the host's, which asks again and again.
func (b *bench) firstAnswer() (float64, string, error) {
	img, err := b.image(web)
	if err != nil {
		return 0, "", err
	}
	counts, err := b.serve(b.webMachine(img), func(ctx context.Context, url string) { ask(ctx, url, 1) })
	if err != nil {
		return 0, "", err
	}
	n, err := parseCounts(counts, "answered")
	return n, "", err
}

// request counts the instructions of a request when many clients ask, each by a
// connection that it keeps.
func (b *bench) request(linux bool) (float64, string, error) {
	const clients, requests = 64, 6400
	all := strconv.Itoa(requests)
	bin, err := b.compile(web)
	if err != nil {
		return 0, "", err
	}
	var m *vmm.Machine
	if linux {
		modules, err := b.linuxModules(linuxNet)
		if err != nil {
			return 0, "", err
		}
		if m, err = b.linuxMachine(append([]program{linuxWeb, web}, modules...)...); err != nil {
			return 0, "", err
		}
		m.CmdLine += " -- " + all
	} else {
		img := bin + "-all.img"
		if _, err := command(b.gosv, "build", "-o", img, bin, all); err != nil {
			return 0, "", err
		}
		m = b.webMachine(img)
	}
	counts, err := b.serve(m, func(ctx context.Context, url string) {
		for range clients {
			go ask(ctx, url, requests) // until the server has had enough
		}
	})
	if err != nil {
		return 0, "", err
	}
	half, err := parseCounts(counts, "half")
	if err != nil {
		return 0, "", err
	}
	end, err := parseCounts(counts, "answered")
	return (end - half) / (requests / 2), "", err
}

// webMachine is a VM with a network that runs an image of web.
func (b *bench) webMachine(img string) *vmm.Machine {
	m := b.machine(img, 1)
	m.Kernel = b.netKernel
	m.CmdLine += " gosv.ip=" + vmm.UserAddress
	return m
}

// serve runs m, which serves, with tools/icount, and returns what that has counted.
func (b *bench) serve(m *vmm.Machine, clients func(ctx context.Context, url string)) ([]byte, error) {
	q, err := qemu.New("tcg", "microvm", nil)
	if err != nil {
		return nil, skip(err.Error())
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	m.Devices.Nets = []vmm.Net{{Forwards: []network.Forward{{Network: "tcp", Host: port, Guest: 80}}}}
	cmd, err := q.Command(m, b.dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go clients(ctx, "http://"+port.String())
	out := filepath.Join(b.dir, "web.insn")
	// The server waits for the client as long as the client takes: what is due in a second
	// does not come before the answer.
	if _, err := command("env", append([]string{"SLEEP=on", "tools/icount/icount", out}, cmd.Argv[1:]...)...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// ask asks by a connection of its own until there were so many answers.
func ask(ctx context.Context, url string, answers int) {
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for answers > 0 && ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return
		}
		r, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		answers--
	}
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
