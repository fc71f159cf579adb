package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gosv/internal/inspect"
	"gosv/internal/state"
	"gosv/internal/strace"
	"gosv/internal/trace"
)

// watchVM makes a command that watches a VM until Ctrl-C, which ends
// ctx, or until the VM ends.
func watchVM(use, short string, args cobra.PositionalArgs, f func(ctx context.Context, vm *inspect.Client, args []string) error) *cobra.Command {
	return onVM(use, short, args, func(vm *inspect.Client, args []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		return f(ctx, vm, args)
	})
}

// counted is a flag: after how many of something to end; 0, which nobody can ask for, is never.
type counted int

func (c *counted) Type() string { return "int" }

func (c *counted) String() string {
	if *c == 0 {
		return ""
	}
	return strconv.Itoa(int(*c))
}

func (c *counted) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return errors.New("a number from 1 on is wanted")
	}
	*c = counted(n)
	return nil
}

// ended says why watching is over if it is not by the user's wish.
func ended(ctx context.Context, name string) {
	if ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "gosv: %s has ended\n", name)
	}
}

func straceCommand() *cobra.Command {
	var calls, output string
	cmd := watchVM("strace [flags] NAME", "Print the system calls and signals of a running VM's program, until Ctrl-C", cobra.ExactArgs(1),
		func(ctx context.Context, vm *inspect.Client, args []string) (err error) {
			calls = strings.TrimPrefix(calls, "trace=")
			plan, err := strace.Select(calls)
			if err != nil {
				return fmt.Errorf("-e %s: %w", calls, err)
			}
			all, err := allCalls() // others may watch others
			if err != nil {
				return err
			}
			out := io.Writer(os.Stderr)
			if output != "" {
				f, err := os.Create(output)
				if err != nil {
					return err
				}
				b := bufio.NewWriter(f)
				defer func() { err = errors.Join(err, b.Flush(), f.Close()) }()
				out = b
			}
			p := strace.NewPrinter(out, plan)
			defer p.Close()
			reader := trace.NewReader(all, p.Event)
			if err := vm.Records(ctx, calls, reader, func() {}); err != nil {
				return err
			}
			ended(ctx, args[0])
			if err := reader.Err(); err != nil {
				return fmt.Errorf("not all of what the kernel reports can be understood: %w", err)
			}
			return nil
		})
	cmd.Long = `Print the system calls and signals of a running VM's program as gosv run --strace
does, from now on until Ctrl-C: first the calls that threads wait in. Nothing is
slower afterwards.`
	cmd.Flags().StringVarP(&calls, "expr", "e", "all", "only some `CALLS`: open,mmap, %file, !read; as of strace's -e trace=")
	cmd.Flags().StringVarP(&output, "output", "o", "", "print to `FILE` (default standard error)")
	return cmd
}

// allCalls is a plan of all system calls, for who reads what others may have wanted, too.
func allCalls() (*trace.Plan, error) {
	calls, err := strace.Select("all")
	return &trace.Plan{Calls: calls}, err
}

// dialVM returns who answers for the VM of that name.
func dialVM(name string) (*inspect.Client, error) {
	store, err := state.Open()
	if err != nil {
		return nil, err
	}
	return inspect.NewClient(func(context.Context) (net.Conn, error) { return store.Dial(name) }), nil
}
