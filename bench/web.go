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
	"time"

	"gosv/internal/network"
	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// web is the server whose first answer is waited for.
var web = program{"web", "", "./bench/web"}

// firstAnswer counts the guest's instructions from the start of the VM until
// a web server has answered a client of the host's, which asks again and again.
func (b *bench) firstAnswer() (float64, string, error) {
	q, err := qemu.New("tcg", "microvm", nil)
	if err != nil {
		return 0, "", skip(err.Error())
	}
	img, err := b.image(web)
	if err != nil {
		return 0, "", err
	}
	port, err := freePort()
	if err != nil {
		return 0, "", err
	}
	m := b.machine(img, 1)
	m.Kernel = b.netKernel
	m.CmdLine += " gosv.ip=" + vmm.UserAddress
	m.Devices.Nets = []vmm.Net{{Forwards: []network.Forward{{Network: "tcp", Host: port, Guest: 80}}}}
	cmd, err := q.Command(m, b.dir)
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go ask(ctx, "http://"+port.String())
	out := filepath.Join(b.dir, "web.insn")
	// The server waits for the client as long as the client takes: what is due in a second
	// does not come before the answer.
	if _, err := command("env", append([]string{"SLEEP=on", "tools/icount/icount", out}, cmd.Argv[1:]...)...); err != nil {
		return 0, "", err
	}
	counts, err := os.ReadFile(out)
	if err != nil {
		return 0, "", err
	}
	n, err := parseCounts(counts, "answered")
	return n, "", err
}

// ask asks until there is an answer.
func ask(ctx context.Context, url string) {
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return
		}
		if r, err := http.DefaultClient.Do(req); err == nil {
			_, err := io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if err == nil {
				return
			}
		}
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
