package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gosv/internal/inspect"
	"gosv/internal/pcap"
)

// errEnough ends a capture of as many packets as were wanted.
var errEnough = errors.New("enough")

func tcpdumpCommand() *cobra.Command {
	var file string
	var count counted
	var snapLen int
	cmd := watchVM("tcpdump [flags] NAME [FILTER...]", "Capture the packets of a running VM's network, until Ctrl-C", cobra.MinimumNArgs(1),
		func(ctx context.Context, vm *inspect.Client, args []string) (err error) {
			filter, err := pcap.ParseFilter(args[1:])
			if err != nil {
				return err
			}
			if snapLen <= 0 || snapLen > pcap.MaxSnapLen {
				snapLen = pcap.MaxSnapLen
			}
			out := os.Stdout
			switch {
			case file == "-" && term.IsTerminal(int(os.Stdout.Fd())):
				return errors.New("-w -: packets are not for a terminal; without -w they are printed")
			case file != "" && file != "-":
				if out, err = os.Create(file); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, out.Close()) }()
			}
			b := bufio.NewWriter(out)
			show := printPacket(b)
			k := &inspect.Capture{SnapLen: snapLen}
			if file != "" {
				w, err := pcap.NewWriter(b, snapLen)
				if err != nil {
					return err
				}
				show = w.Write
			} else {
				k.SnapLen = max(snapLen, 256) // to print headers
			}
			captured, lost := 0, 0
			begun := false
			k.Started = func() {
				begun = true
				fmt.Fprintf(os.Stderr, "gosv: listening to %s, capture size %d bytes\n", args[0], snapLen)
			}
			k.Idle = b.Flush
			k.Lost = func(n int) { lost += n }
			k.Packet = func(p *pcap.Packet) error {
				if !filter(p) {
					return nil
				}
				captured++
				if err := show(p); err != nil {
					return err
				}
				if captured == int(count) {
					return errEnough
				}
				return nil
			}
			err = vm.Packets(ctx, k)
			enough := errors.Is(err, errEnough)
			if enough {
				err = nil
			}
			if ferr := b.Flush(); err == nil {
				err = ferr
			}
			if err == nil && !enough {
				ended(ctx, args[0])
			}
			if begun {
				fmt.Fprintf(os.Stderr, "gosv: %d packets captured\n", captured)
			}
			if lost > 0 {
				fmt.Fprintf(os.Stderr, "gosv: %d packets lost, for they were not taken fast enough\n", lost)
			}
			return err
		})
	cmd.Long = `Capture the packets of a running VM's network, of all its interfaces, until Ctrl-C.
They are printed, or written in the format that tcpdump -r and Wireshark read:

  gosv tcpdump -w - web | wireshark -k -i -

The capture is made on the host: it costs the VM nothing, and does not see what the
VM sends to itself. With --net tap=NAME it takes the rights that tcpdump needs, of
the gosv that runs the VM.

A filter is of the most usual part of tcpdump's: ip, ip6, arp, tcp, udp, icmp, icmp6,
[src|dst] host ADDRESS, net ADDRESS/LENGTH, port N, with and, or, not, parentheses.`
	cmd.Example = `  gosv tcpdump web                          all packets, a line each
  gosv tcpdump -c 10 web tcp port 80        ten of those
  gosv tcpdump -w web.pcap web not arp      into a file`
	cmd.Flags().StringVarP(&file, "write", "w", "", "write packets to `FILE` in the pcap format, - for standard output")
	cmd.Flags().VarP(&count, "count", "c", "end after `N` packets")
	cmd.Flags().IntVarP(&snapLen, "snaplen", "s", pcap.MaxSnapLen, "take no more than `N` bytes of each packet")
	return cmd
}

// printPacket returns what prints a packet as a line, as tcpdump -n does.
func printPacket(w io.Writer) func(p *pcap.Packet) error {
	return func(p *pcap.Packet) error {
		_, err := fmt.Fprintln(w, p.Time.Format("15:04:05.000000"), p)
		return err
	}
}
