package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"gosv/internal/inspect"
	"gosv/internal/state"
	"gosv/internal/vmm"
)

// backgroundVar is the variable that tells a gosv that it is to run in the background;
// descriptor startedFD is where it says that its VM runs, and by what name, or why it does not.
const (
	backgroundVar = "GOSV_BACKGROUND"
	startedFD     = 3
	startedOK     = "ok "
)

// inBackground starts this command once more, without a terminal, and waits
// until its VM has started.
func (f *runFlags) inBackground(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), backgroundVar+"=1")
	cmd.ExtraFiles = []*os.File{w} // startedFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return err
	}
	w.Close()
	defer onSignal(func() { cmd.Process.Signal(syscall.SIGTERM) })()
	said, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(string(said), startedOK); ok {
		fmt.Println(name)
		return nil
	}
	cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	if code <= 0 {
		code = vmm.ExitGosv
	}
	return &exitError{code, errors.New(strings.TrimSpace(string(said)))}
}

// baseName is what the name of a program's VM begins with.
func baseName(program string) string {
	abs, err := filepath.Abs(program)
	if err != nil {
		abs = program
	}
	return strings.TrimSuffix(filepath.Base(abs), ".img")
}

// supervise runs a VM in the background: its output goes to the VM's log.
func (f *runFlags) supervise(args []string) error {
	os.Unsetenv(backgroundVar)
	said := os.NewFile(startedFD, "started")
	unix.CloseOnExec(startedFD)
	fail := func(err error) error {
		fmt.Fprint(said, err)
		said.Close()
		return err
	}
	r, err := f.register(args, "")
	if err != nil {
		return fail(err)
	}
	f.name = r.Name
	f.discard = func() { r.Discard() }
	defer r.server.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fail(err)
	}
	for fd, file := range []*os.File{null, r.Log, r.Log} {
		if err := unix.Dup3(int(file.Fd()), fd, 0); err != nil {
			return fail(err)
		}
	}
	running := false
	f.started = func(v vmm.VMM, vm *inspect.VM) {
		r.show(f, v, vm)
		if !running { // and no second attempt
			fmt.Fprint(said, startedOK+r.Name)
			said.Close()
		}
		running = true
	}
	err = f.run(args)
	if !running {
		r.Discard()
		return fail(err)
	}
	if err2 := r.End(exitCode(err)); err2 != nil {
		err = errors.Join(err, err2)
	}
	return err
}

// lossyLog takes the output of a VM that nobody looks after: what there is no place for is lost, and
// told as soon as there is some again, but the VM goes on.
type lossyLog struct {
	w io.Writer

	mu   sync.Mutex
	lost int
	why  error
}

func (l *lossyLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		if _, err := fmt.Fprintf(l.w, "\ngosv: %d bytes are lost: %v\n", l.lost, l.why); err != nil {
			l.lost += len(p)
			return len(p), nil
		}
		l.lost = 0
	}
	n, err := l.w.Write(p)
	if err != nil {
		l.lost, l.why = len(p)-n, err
	}
	return len(p), nil
}

// inForeground runs a VM that others can ask about. If there is no place for what they need
// for that, one without a name runs nevertheless.
func (f *runFlags) inForeground(args []string) error {
	var r *registered
	if f.name != "" {
		var err error
		if r, err = f.register(args, ""); err != nil {
			return err
		}
		f.discard = func() { r.Discard() }
	}
	f.started = func(v vmm.VMM, vm *inspect.VM) {
		if r == nil { // beside the VM's boot
			var err error
			if r, err = f.register(args, v.String()); err != nil {
				if f.verbose {
					f.note("gosv ps will not list this VM: %v", err)
				}
				return
			}
		}
		r.show(f, v, vm)
	}
	defer func() {
		if r != nil {
			r.server.Close()
			r.Discard()
		}
	}()
	return f.run(args)
}

// registered is a VM that gosv ps lists and others may ask about.
type registered struct {
	*state.Running
	server *inspect.Server
}

// register lists this process's VM. Which VMM runs it may not be known yet.
func (f *runFlags) register(args []string, on string) (*registered, error) {
	store, err := state.Open()
	if err != nil {
		return nil, err
	}
	vm := state.VM{Name: f.name, Command: args, VMM: on, Ports: f.devices.ports, Started: time.Now(), Foreground: !f.detach}
	var r *state.Running
	if vm.Name != "" {
		r, err = store.Create(vm)
	} else {
		r, err = store.CreateUnnamed(baseName(args[0]), vm)
	}
	if err != nil {
		return nil, err
	}
	l, err := r.Listen()
	if err != nil {
		r.Discard()
		return nil, err
	}
	server := inspect.NewServer()
	go server.Serve(l)
	return &registered{r, server}, nil
}

// show has vm answer, which runs on v.
func (r *registered) show(f *runFlags, v vmm.VMM, vm *inspect.VM) {
	r.server.Show(vm)
	if err := r.RunsOn(v.String()); err != nil {
		f.note("%v", err)
	}
}

func psCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the VMs that run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.Open()
			if err != nil {
				return err
			}
			vms, bad := store.List()
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tPROGRAM\tVMM\tSTATUS\tPORTS")
			for _, vm := range vms {
				if vm.PID != 0 || all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", vm.Name, summary(vm.Command), vm.VMM, status(&vm), strings.Join(vm.Ports, ", "))
				}
			}
			return errors.Join(bad, w.Flush())
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	return cmd
}

// summary is a command short enough for a table.
func summary(argv []string) string {
	const most = 40
	s := vmm.Quote(argv)
	if r := []rune(s); len(r) > most {
		s = string(r[:most-3]) + "..."
	}
	return s
}

func status(vm *state.VM) string {
	switch {
	case vm.PID != 0:
		return "up " + age(vm.Started)
	case vm.Ended == nil:
		return "killed"
	}
	return fmt.Sprintf("exit code %d, %s ago", vm.Code, age(*vm.Ended))
}

// age is how long ago t is, in one unit.
func age(t time.Time) string {
	d := max(time.Since(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a VM in the background has printed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.Open()
			if err != nil {
				return err
			}
			return store.CopyLog(os.Stdout, args[0], follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the VM ends")
	return cmd
}

func stopCommand() *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "stop NAME...",
		Short: "End VMs: the program by SIGTERM, or else the VM",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachVM(args, func(store *state.Store, name string) error { return stop(store, name, patience) })
		},
	}
	cmd.Flags().DurationVarP(&patience, "time", "t", vmm.Patience, "how long the program may take")
	return cmd
}

func rmCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Forget VMs that have ended, with what they printed",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachVM(args, func(store *state.Store, name string) error {
				if force {
					if err := stop(store, name, 0); err != nil {
						return err
					}
				}
				err := store.Remove(name)
				if force && errors.Is(err, state.ErrNoVM) { // it ran in the foreground
					return nil
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "end it first if it runs")
	return cmd
}

// eachVM calls f for each name, and prints those for which it went well.
func eachVM(names []string, f func(*state.Store, string) error) error {
	store, err := state.Open()
	if err != nil {
		return err
	}
	var bad []error
	for _, name := range names {
		if err := f(store, name); err != nil {
			bad = append(bad, err)
			continue
		}
		fmt.Println(name)
	}
	return errors.Join(bad...)
}

// stop ends a VM: by SIGTERM to its gosv, after a while by another, at last by
// SIGKILL.
func stop(store *state.Store, name string, patience time.Duration) error {
	const hurry = 2 * time.Second
	vm, err := store.Get(name)
	runs := func() bool { return err == nil && vm.PID != 0 }
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, patience}, {syscall.SIGTERM, hurry}, {syscall.SIGKILL, hurry}} {
		if !runs() {
			return err
		}
		if err := syscall.Kill(vm.PID, step.signal); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("%s: %w", name, err)
		}
		for end := time.Now().Add(step.wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if vm, err = store.Get(name); errors.Is(err, state.ErrNoVM) { // it ran in the foreground
				return nil
			}
			if !runs() {
				return err
			}
		}
	}
	return fmt.Errorf("%s does not end", name)
}
