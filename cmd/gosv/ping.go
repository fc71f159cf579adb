package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gosv/internal/inspect"
)

func pingCommand() *cobra.Command {
	var count counted
	var interval time.Duration
	cmd := watchVM("ping [flags] NAME [ADDRESS]", "Ask a running VM's network for answers, or an address from within the VM", cobra.RangeArgs(1, 2),
		func(ctx context.Context, vm *inspect.Client, args []string) error {
			if interval <= 0 {
				return fmt.Errorf("-i %v: some time must pass between two", interval)
			}
			ping, what := vm.Ping, args[0]
			if len(args) > 1 {
				addr, err := net.DefaultResolver.LookupNetIP(ctx, "ip", args[1])
				if err != nil {
					return err
				}
				to := addr[0].Unmap().String()
				ping, what = func() (time.Duration, error) { return pingFrom(vm, to) }, to+" from "+args[0]
			}
			var p pings
			for {
				took, err := ping()
				var silent *inspect.Silence
				if err != nil && !errors.As(err, &silent) {
					p.print(what)
					return err
				}
				p.add(took, err)
				if p.sent == int(count) {
					break
				}
				select {
				case <-time.After(interval):
					continue
				case <-ctx.Done():
				}
				break
			}
			p.print(what)
			if p.answers == 0 {
				return &exitError{code: 1}
			}
			return nil
		})
	cmd.Long = `Ask a running VM's network for answers to ICMP echo requests, until Ctrl-C.

Without an address they are sent from the host to the VM: does its network answer?
With one they are sent by the VM's kernel: is the address reached from there? (A name
is looked up on the host.) From a user-mode network others than the host itself
(10.0.2.2) are asked in the name of the user who runs gosv, who must be root or in
the sysctl net.ipv4.ping_group_range. The exit code is 1 if there was no answer.`
	cmd.Example = `  gosv ping web                 does the VM's network answer?
  gosv ping -c 3 web 1.1.1.1    does the VM reach the Internet?`
	cmd.Flags().VarP(&count, "count", "c", "end after `N` requests")
	cmd.Flags().DurationVarP(&interval, "interval", "i", time.Second, "time between an answer and the next request")
	return cmd
}

// pingFrom has the VM's kernel ask an address.
func pingFrom(vm *inspect.Client, to string) (time.Duration, error) {
	b, err := vm.Read("/proc/gosv/ping/" + to)
	if errors.Is(err, syscall.ENOENT) {
		return 0, errors.New("the VM's kernel has no network: that takes gosv run -p or --net")
	}
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, &inspect.Silence{Why: string(b)}
	}
	return time.Duration(ns), nil
}

// pings is what came of some.
type pings struct {
	sent, answers    int
	sum, least, most time.Duration
}

func (p *pings) add(took time.Duration, err error) {
	p.sent++
	if err != nil {
		fmt.Printf("seq=%d %v\n", p.sent, err)
		return
	}
	if p.answers++; p.answers == 1 || took < p.least {
		p.least = took
	}
	p.most = max(p.most, took)
	p.sum += took
	fmt.Printf("answer: seq=%d time=%.3f ms\n", p.sent, milliseconds(took))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (p *pings) print(what string) {
	if p.sent == 0 {
		return
	}
	fmt.Printf("--- %s: %d sent, %d answered, %d%% lost", what, p.sent, p.answers, (p.sent-p.answers)*100/p.sent)
	if p.answers > 0 {
		fmt.Printf(", least/mean/most %.3f/%.3f/%.3f ms", milliseconds(p.least), milliseconds(p.sum)/float64(p.answers), milliseconds(p.most))
	}
	fmt.Println()
}
