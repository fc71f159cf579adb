package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gosv/internal/inspect"
	"gosv/internal/profile"
	"gosv/internal/trace"
)

func pprofCommand() *cobra.Command {
	var output string
	var seconds float64
	cmd := watchVM("pprof [flags] NAME [cpu|heap|goroutine]", "Profile a running VM's kernel and program, for go tool pprof", cobra.RangeArgs(1, 2),
		func(ctx context.Context, vm *inspect.Client, args []string) error {
			kind := "cpu"
			if len(args) > 1 {
				kind = args[1]
			}
			make, ok := map[string]func(context.Context, *inspect.Client, time.Duration) ([]byte, error){
				"cpu": cpuProfile, "heap": heapProfile, "goroutine": goroutineProfile,
			}[kind]
			if !ok {
				return fmt.Errorf("%s: there are cpu, heap and goroutine", kind)
			}
			if seconds <= 0 {
				return fmt.Errorf("--seconds %v: that is no time to look at anything", seconds)
			}
			if output == "" {
				output = args[0] + "." + kind + ".pb.gz"
			}
			if _, err := os.Stat(filepath.Dir(output)); err != nil { // better now than afterwards
				return err
			}
			b, err := make(ctx, vm, time.Duration(seconds*float64(time.Second)))
			if err != nil {
				return err
			}
			if output == "-" {
				_, err := os.Stdout.Write(b)
				return err
			}
			if err := os.WriteFile(output, b, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "gosv: go tool pprof %s\n", output)
			return nil
		})
	cmd.Long = `Profile a running VM's kernel and program, and write what go tool pprof opens:

  cpu        what the CPUs do, in the kernel (kernel/...) and in the program
  heap       the kernel's heap: what is allocated meanwhile, with stacks, and what
             was before, by size
  goroutine  where the kernel's goroutines are, the program's threads among them

Nothing is slower afterwards.`
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, - for standard output (default NAME.KIND.pb.gz)")
	cmd.Flags().Float64VarP(&seconds, "seconds", "s", 5, "how long to look; Ctrl-C ends it before")
	return cmd
}

// sampling says why nothing else happens for a while.
func sampling(d time.Duration) { fmt.Fprintf(os.Stderr, "gosv: sampling for %v s\n", d.Seconds()) }

// cpuProfile samples what the CPUs do.
func cpuProfile(ctx context.Context, vm *inspect.Client, d time.Duration) ([]byte, error) {
	p := &profile.CPU{}
	var err error
	if p.Kernel, err = vm.Kernel(); err != nil {
		return nil, err
	}
	all, err := allCalls() // others may watch them
	if err != nil {
		return nil, err
	}
	maps, err := vm.Read("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	p.Program = profile.ParseMaps(string(maps))
	for i := range p.Program { // now: it may have ended afterwards
		m := &p.Program[i]
		if m.ELF, err = vm.ImageFile(m.File); err != nil {
			fmt.Fprintf(os.Stderr, "gosv: %s: without names: %v\n", m.File, err)
		}
	}
	reader := trace.NewReader(all, func(e trace.Event) {
		if s, ok := e.(trace.Sample); ok {
			p.Samples = append(p.Samples, s)
		}
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = vm.Samples(ctx, reader, func() {
		p.Began = time.Now()
		sampling(d)
		time.AfterFunc(d, cancel)
	})
	p.Took = time.Since(p.Began)
	if err == nil {
		err = reader.Err()
	}
	if err != nil && len(p.Samples) == 0 {
		return nil, err
	}
	if p.Began.IsZero() {
		return nil, errors.New("interrupted before it began")
	}
	if ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "gosv: it has ended: the profile is of %.1f s\n", p.Took.Seconds())
	}
	return p.Encode()
}

// heapProfile has the kernel's allocations sampled, and tells what there is of them then.
func heapProfile(ctx context.Context, vm *inspect.Client, d time.Duration) ([]byte, error) {
	kernel, err := vm.Kernel()
	if err != nil {
		return nil, err
	}
	var began time.Time
	var took time.Duration
	var heap []byte
	var readErr error
	held, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = vm.SampleHeap(held, func() {
		defer cancel()
		began = time.Now()
		sampling(d)
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		took = time.Since(began)
		heap, readErr = vm.Read("/proc/gosv/heap")
	})
	if errors.Is(err, syscall.ENOMEM) {
		err = errors.New("the VM has too little free memory to sample its kernel's heap")
	}
	if err = errors.Join(err, readErr); err != nil {
		return nil, err
	}
	return profile.Heap(string(heap), kernel, began, took)
}

// goroutineProfile counts where the kernel's goroutines are.
func goroutineProfile(_ context.Context, vm *inspect.Client, _ time.Duration) ([]byte, error) {
	b, err := vm.Read("/proc/gosv/stacks")
	if err != nil {
		return nil, err
	}
	return profile.Goroutines(string(b), time.Now())
}
