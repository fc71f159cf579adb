package main

import (
	"context"
	"crypto/rand"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gosv/internal/appimage"
	"gosv/internal/core"
	"gosv/internal/image"
	"gosv/internal/inspect"
	"gosv/internal/network"
	"gosv/internal/state"
	"gosv/internal/vmm"
	"gosv/internal/vmm/firecracker"
	"gosv/internal/vmm/qemu"
)

type runFlags struct {
	image     imageFlags
	vmm       string
	accel     string
	machine   string
	memory    string
	cpus      int
	name      string
	timeout   time.Duration
	dryRun    bool
	kernel    string
	devices   deviceFlags
	detach    bool
	started   func(vmm.VMM, *inspect.VM) // called when the VM runs; may be nil
	discard   func()                     // forgets a VM that is known before it runs; may be nil
	diag      diagFlags
	gdb       bool
	timing    bool
	verbose   bool
	debug     string
	root      string
	cpuConfig string
	jailer    string
	vmmArgs   []string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] PROGRAM [ARG...]",
		Short: "Run a program in a microVM",
		Long: `Run a Go package, a static Linux program or an application image as a microVM.
Its output, input and exit code are the program's.

A signal to gosv (Ctrl-C) ends the program by SIGTERM, and the VM after ten seconds
or by a second one. If the program has the terminal, Ctrl-C is the program's; three
within a second are such a signal.

Exit codes besides the program's: 128+n it was ended by signal n, 123 the kernel
failed, 124 --timeout, 125 gosv failed, 126 not a program that can be run,
127 no such program.`,
		Example: `  gosv run ./examples/hello                     a Go package: built, booted, gone
  gosv run ./prog a 'b c' ''                    a static program and its arguments
  echo text | gosv run /bin/busybox sha256sum   its input
  gosv run --vmm firecracker -m 64 ./prog
  gosv run -p 8080:80 ./examples/httpd          a web server: curl localhost:8080
  gosv run -d --name web -p 8080:80 ./image.tar a container image, in the background: gosv ps, logs, stop
  gosv run --trace trace.json ./prog            what happens when: open it in ui.perfetto.dev
  gosv run --core core ./prog                   should it crash: gdb prog core
  gosv run --strace=%file,mmap -o calls ./prog  what it asks of the kernel
  go test -exec 'gosv run --cwd --' ./...       any package's tests, in microVMs`,
		Args: needProgram,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch _, supervised := os.LookupEnv(backgroundVar); {
			case f.dryRun:
				return f.run(args)
			case f.detach && supervised:
				return f.supervise(args)
			case f.detach:
				return f.inBackground(args)
			}
			return f.inForeground(args)
		},
	}
	f.image.add(cmd, "; the image of an ext2, ext3, ext4 or EROFS file system is mounted instead, read-only: HOST:GUEST[:ro], or with memory for what is written, which is lost at the end: HOST:GUEST:overlay")
	fl := cmd.Flags()
	fl.StringVar(&f.vmm, "vmm", "", "qemu or firecracker (default: firecracker where KVM works and it is installed, else qemu)")
	fl.StringVar(&f.accel, "accel", "", "kvm or tcg (default: kvm where it works)")
	fl.StringVar(&f.machine, "machine", "", "QEMU's machine: microvm, pc, q35, with its options (default microvm)")
	fl.StringVarP(&f.memory, "memory", "m", "128", "memory in MiB, or with a suffix K, M or G")
	fl.IntVarP(&f.cpus, "cpus", "c", 1, "number of CPUs")
	fl.BoolVarP(&f.detach, "detach", "d", false, "run it in the background: see gosv ps, logs, stop, rm")
	fl.StringVar(&f.name, "name", "", "name of the VM, for gosv ps, stop, top and others (default: one of the program's), and its host name unless --hostname says otherwise")
	fl.DurationVar(&f.timeout, "timeout", 0, "end the VM after this time, with exit code 124")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the VMM's command line, and leave the files it needs, instead of running it")
	fl.StringVar(&f.kernel, "kernel", "", "another kernel than the one in gosv")
	fl.StringVar(&f.root, "root", "", "where the image's file system is: initrd, all in memory, or disk, read as it is needed (default: disk if it is larger than 16 MiB and a quarter of the memory)")
	f.devices.add(fl)
	f.diag.add(fl)
	fl.BoolVar(&f.gdb, "gdb", false, "stop before the first instruction, for gdb: says how to connect")
	fl.BoolVar(&f.timing, "boot-timing", false, "print when each stage of the boot was reached")
	fl.BoolVar(&f.verbose, "verbose", false, "say which VMM runs it, and what the kernel finds on the machine")
	fl.StringVar(&f.debug, "debug", "", "make the kernel fail on purpose: fault, double-fault, panic, hang or hang-off")
	fl.Lookup("debug").Hidden = true
	fl.StringVar(&f.cpuConfig, "firecracker-cpu-config", "", "a custom CPU template for Firecracker (JSON)")
	fl.StringVar(&f.jailer, "jailer", "", "run Firecracker by its jailer, in a directory and as a user of its own: UID[:GID] (needs root)")
	fl.Lookup("jailer").NoOptDefVal = firecracker.Nobody
	fl.StringArrayVar(&f.vmmArgs, "vmm-arg", nil, "a further argument for the VMM")
	return cmd
}

// progress says on a terminal what takes long; an empty message takes it back.
func progress(format string, args ...any) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	if format != "" {
		fmt.Fprintf(os.Stderr, "gosv: "+format+" ...", args...)
	}
}

// slow says so, too, of what takes long only sometimes, until done is called.
func slow(format string, args ...any) (done func()) {
	const patience = 500 * time.Millisecond
	said := make(chan struct{})
	t := time.AfterFunc(patience, func() {
		progress(format, args...)
		close(said)
	})
	return func() {
		if !t.Stop() {
			<-said
			progress("")
		}
	}
}

func (f *runFlags) run(args []string) error {
	memory, err := parseMemory(f.memory)
	if err != nil {
		return err
	}
	const maxCPUs = 32
	if f.cpus < 1 || f.cpus > maxCPUs {
		return fmt.Errorf("-c %d: between 1 and %d CPUs are possible", f.cpus, maxCPUs)
	}
	if f.timeout < 0 {
		return fmt.Errorf("--timeout %v: it would be over before it began", f.timeout)
	}
	watch, err := f.diag.watch()
	if err != nil {
		return err
	}
	if watch != nil && f.dryRun {
		return errors.New("--strace, --trace and --core need gosv to read what the kernel reports: not with --dry-run")
	}
	switch f.root {
	case "", "initrd", "disk":
	default:
		return fmt.Errorf("--root %s: there are initrd and disk", f.root)
	}
	devices, err := f.devices.devices()
	if err != nil {
		return err
	}
	mounts, err := f.image.takeDisks(&devices)
	if err != nil {
		return err
	}
	if !f.dryRun { // which may be for another machine
		for _, tap := range devices.TAPs() {
			if err := vmm.CheckTAP(tap); err != nil {
				return err
			}
		}
	}
	v, fallback, err := f.pick()
	if err != nil {
		return err
	}
	tempDir := state.TempDir
	if f.dryRun { // it is the user's to remove
		tempDir = func() (string, error) { return os.MkdirTemp("", "gosv") }
	}
	dir, err := tempDir()
	if err != nil {
		return err
	}
	if !f.dryRun {
		defer os.RemoveAll(dir)
	}
	noLonger := onSignal(func() {
		os.RemoveAll(dir)
		if f.discard != nil {
			f.discard()
		}
	})
	defer noLonger()
	name := f.name
	if f.image.hostname != "" {
		name = f.image.hostname
	} else if name == "" {
		name = "gosv"
	}
	tty := !f.dryRun && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
	app, err := f.image.application(args, name, dir, tty)
	if err != nil {
		os.RemoveAll(dir)
		return err
	}
	m := &vmm.Machine{Name: f.name, Image: filepath.Join(dir, "app.img"), Memory: memory, CPUs: f.cpus, Devices: devices}
	if f.gdb {
		m.Debugger = filepath.Join(dir, "gdb")
	}
	token := rand.Text()[:4]
	m.Devices.Wire = !f.dryRun // by hand, there is nobody at the other end
	m.CmdLine = f.cmdline(token, tty)
	if n := devices.Nets; len(n) > 0 && n[0].Address != "" {
		m.CmdLine += " gosv.ip=" + n[0].Address
	}
	app.spec.Config.Disks = mounts
	app.spec.Config.Plan = watch.plan()
	if prog := app.spec.Program; prog != "" && filepath.Dir(prog) != dir { // not built for this run only
		watch.has(app.spec.Path, prog)
	}
	if err := f.writeImage(app, m, dir); err != nil {
		os.RemoveAll(dir)
		return err
	}
	if m.Kernel, err = f.kernelFile(dir); err != nil {
		os.RemoveAll(dir)
		return err
	}
	if err := checkMemory(m); err != nil {
		os.RemoveAll(dir)
		return err
	}
	if f.dryRun {
		c, err := v.Command(m, dir)
		if err != nil {
			return err
		}
		fmt.Println(vmm.Quote(c.Argv))
		f.note("what it needs is in %s", dir)
		if c.OwnNetwork {
			f.note("without gosv its user-mode network has nobody behind: its %s is yours to make", network.TAP)
		}
		return nil
	}
	if f.gdb {
		advice, err := gdbAdvice(m.Debugger, m.Kernel, app.spec.Program, f.devices.network())
		if err != nil {
			return err
		}
		f.note("%s", advice)
	}
	unlock, err := lockDisks(m.Devices.Disks)
	if err != nil {
		return err
	}
	defer unlock()
	noLonger() // from here on they are for the VM
	res, err := f.start(v, m, dir, token, tty, watch)
	if err == nil && !res.Report && !res.Output && res.Code == vmm.ExitKernel && fallback != nil {
		f.note("%s ended at once (%s); trying %s", v, firstLine(res.VMM), fallback)
		v = fallback
		res, err = f.start(v, m, dir, token, tty, watch)
	}
	if err != nil {
		return err
	}
	switch {
	case res.Report && res.Code == 0:
		return nil
	case res.Report:
		return &exitError{code: res.Code}
	case res.Code == vmm.ExitTimeout:
		return &exitError{res.Code, fmt.Errorf("ended after %v, as --timeout asks", f.timeout)}
	}
	if f, ok := v.(*firecracker.Firecracker); ok {
		if err := f.Outdated(m); err != nil {
			return err
		}
	}
	msg := fmt.Sprintf("the VM ended (%s) without reporting an exit code, on %s", res.Status, v)
	if res.VMM != "" {
		msg += ", which said:\n" + res.VMM
	}
	return &exitError{res.Code, errors.New(msg)}
}

func (f *runFlags) start(v vmm.VMM, m *vmm.Machine, dir, token string, tty bool, watch *watch) (vmm.Result, error) {
	c, err := v.Command(m, dir)
	if err != nil {
		return vmm.Result{}, err
	}
	if c.Jailed {
		self, err := os.Executable()
		if err != nil {
			return vmm.Result{}, err
		}
		c.Argv = append([]string{self, "jail"}, c.Argv...)
	}
	wire, err := f.wire(&c, &m.Devices)
	if err != nil {
		return vmm.Result{}, err
	}
	if f.verbose {
		f.note("running on %s", v)
	}
	var started func(*inspect.VM)
	if f.started != nil {
		started = func(vm *inspect.VM) {
			vm.Kernel, vm.Image = m.Kernel, m.Image
			f.started(v, vm)
		}
	}
	r := &vmm.Run{Started: started, Net: network.Interfaces{TAPs: m.Devices.TAPs(), Address: m.Devices.Address()}, Argv: c.Argv, Jailed: c.Jailed, Wire: wire, Token: token, Timeout: f.timeout, TTY: tty, Console: f.devices.console != "", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if f.detach { // both are the log
		log := &lossyLog{w: os.Stdout}
		r.Stdout, r.Stderr = log, log
	}
	if watch == nil {
		return r.Do(context.Background())
	}
	records, err := watch.open(tty)
	if err != nil {
		return vmm.Result{}, err
	}
	r.Plan, r.Records = &watch.wanted, records
	r.Dumps = watch.core != nil
	res, err := r.Do(context.Background())
	if rerr := watch.reader.Err(); rerr != nil {
		f.note("not all of what the kernel reports of the program can be understood: %v", rerr)
	}
	err = errors.Join(err, watch.close())
	if watch.core != nil && err == nil {
		switch n, incomplete := watch.core.Dumps(); {
		case incomplete:
			f.note("the core dump in %s is not complete", f.diag.core+core.Partial)
		case n > 0:
			f.note("there is a core dump: gdb PROGRAM %s", f.diag.core)
		}
	}
	return res, err
}

// wire opens the ports of the user-mode network, if the VMM wants ours, and puts
// ourselves before the VMM where it needs a TAP device for that.
func (f *runFlags) wire(c *vmm.Command, d *vmm.Devices) (*network.Wire, error) {
	n := d.UserNet()
	switch {
	case c.Stream:
		return network.NewWire(n.Forwards, true)
	case !c.OwnNetwork:
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c.Argv = append([]string{self, "netns", strconv.Itoa(c.Owner)}, c.Argv...)
	return network.NewWire(n.Forwards, false)
}

func (f *runFlags) note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "gosv: "+format+"\n", args...)
}

func firstLine(s string) string {
	if s == "" {
		return "it said nothing"
	}
	l, _, _ := strings.Cut(s, "\n")
	return l
}

// pick chooses the VMM and its accelerator by flags and by what the machine
// has. A fallback is what to try if that fails at once though nobody asked for
// it.
func (f *runFlags) pick() (v, fallback vmm.VMM, err error) {
	switch f.accel {
	case "", "kvm", "tcg":
	default:
		return nil, nil, fmt.Errorf("--accel %s: there are kvm and tcg", f.accel)
	}
	var jail *firecracker.Jail
	if f.jailer != "" {
		if f.vmm == "" {
			f.vmm = "firecracker"
		} else if f.vmm != "firecracker" {
			return nil, nil, errors.New("--jailer is for --vmm firecracker")
		}
		if jail, err = firecracker.ParseJail(f.jailer); err != nil {
			return nil, nil, err
		}
	}
	switch f.vmm {
	case "firecracker":
		if f.gdb {
			return nil, nil, errors.New("--gdb is for --vmm qemu: firecracker has no debugger's port")
		}
		if f.accel == "tcg" {
			return nil, nil, errors.New("firecracker needs KVM: --accel tcg is for --vmm qemu")
		}
		if f.machine != "" {
			return nil, nil, errors.New("--machine is for --vmm qemu: firecracker has but one")
		}
		if _, err := os.Stat(f.cpuConfig); f.cpuConfig != "" && err != nil {
			return nil, nil, fmt.Errorf("--firecracker-cpu-config: %w", err)
		}
		v, err := firecracker.New(f.cpuConfig, f.vmmArgs, jail)
		if err == nil && !f.dryRun { // which may be for another machine
			err = vmm.CheckKVM()
		}
		if err != nil {
			return nil, nil, err
		}
		return v, nil, nil
	case "":
	case "qemu":
		if f.cpuConfig != "" {
			return nil, nil, errors.New("--firecracker-cpu-config is for --vmm firecracker")
		}
	default:
		return nil, nil, fmt.Errorf("--vmm %s: there are qemu and firecracker", f.vmm)
	}
	kvm := vmm.CheckKVM()
	if f.accel == "kvm" && kvm != nil && !f.dryRun {
		return nil, nil, kvm
	}
	if f.vmm == "" && f.machine == "" && !f.gdb && f.accel != "tcg" && kvm == nil {
		if v, err := firecracker.New(f.cpuConfig, f.vmmArgs, nil); err == nil {
			return v, nil, nil
		}
	}
	accel := f.accel
	if accel == "" {
		accel = "kvm"
		if kvm != nil {
			accel = "tcg"
			if f.verbose {
				f.note("using TCG: %v", kvm)
			}
		}
	}
	q, err := qemu.New(accel, f.machine, f.vmmArgs)
	if err != nil {
		if f.vmm == "" {
			_, noFirecracker := firecracker.New("", nil, nil)
			err = vmm.NoVMM(noFirecracker == nil, kvm)
		}
		return nil, nil, err
	}
	if f.accel == "" && accel == "kvm" {
		tcg := *q
		tcg.Accel = "tcg"
		fallback = &tcg
	}
	return q, fallback, nil
}

// writeImage puts the image where the VMM takes it from, as --root says: to m.Image, or the
// file system on a disk and to m.Image only what to run.
func (f *runFlags) writeImage(app *application, m *vmm.Machine, dir string) error {
	file, size := app.file, int64(len(app.ready))
	if app.ready == nil {
		file = m.Image
		if err := app.write(file); err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		size = info.Size()
	}
	const small = 16 << 20
	if f.root == "initrd" || f.root == "" && size <= max(small, int64(m.Memory)<<20/4) {
		if app.ready == nil {
			return nil
		}
		return app.write(m.Image)
	}
	if app.ready == nil {
		file = filepath.Join(dir, "root.img")
		if err := os.Rename(m.Image, file); err != nil {
			return err
		}
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if app.spec.Config.Root, err = m.Devices.AddDisk(vmm.Disk{Path: file, ReadOnly: true}); err != nil {
		return err
	}
	return os.WriteFile(m.Image, appimage.Tail(0, 0, &app.spec.Config), 0o644)
}

// kernelFile writes the kernel where the VMM can read it.
func (f *runFlags) kernelFile(dir string) (string, error) {
	if f.kernel != "" {
		_, err := os.Stat(f.kernel)
		return f.kernel, err
	}
	b, err := image.Kernel(f.devices.network())
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "kernel.elf")
	return name, os.WriteFile(name, b, 0o644)
}

// checkMemory refuses a machine that kernel and image do not even fit into:
// it could not say so itself. With less than it takes to run, it can.
func checkMemory(m *vmm.Machine) error {
	kernel, err := elf.Open(m.Kernel)
	if err != nil {
		return nil // somebody's own; the VMM will say what it thinks of it
	}
	defer kernel.Close()
	var end uint64
	for _, p := range kernel.Progs {
		if p.Type == elf.PT_LOAD {
			end = max(end, p.Paddr+p.Memsz)
		}
	}
	img, err := os.Stat(m.Image)
	if err != nil {
		return err
	}
	const tables = 3 * 4096 // of the entry stub, behind the kernel
	if need := (end + tables + uint64(img.Size()) + 1<<20 - 1) >> 20; uint64(m.Memory) < need {
		return fmt.Errorf("-m %d: too little memory: the kernel and the application's image alone take %d MiB; --root disk leaves the image on a disk", m.Memory, need)
	}
	return nil
}

// cmdline is the kernel's: docs/contracts.md.
func (f *runFlags) cmdline(token string, tty bool) string {
	words := []string{"gosv.report=" + token, "gosv.time=" + strconv.FormatInt(time.Now().UnixNano(), 10)}
	if tty {
		if cols, rows, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			words = append(words, fmt.Sprintf("gosv.tty=%dx%d", rows, cols))
		}
	}
	if f.timing {
		words = append(words, "gosv.boot-timing")
	}
	if f.verbose {
		words = append(words, "gosv.verbose")
	}
	if f.devices.console != "" {
		words = append(words, "gosv.console="+f.devices.console)
	}
	if f.debug != "" {
		words = append(words, "gosv.debug="+f.debug)
	}
	return strings.Join(words, " ")
}

// parseMemory reads a size in MiB, or with a suffix.
func parseMemory(s string) (mib int, err error) {
	const least, most = 2, 512 << 10
	num, unit := s, 1.0
	if n := len(s); n > 1 {
		switch s[n-1] {
		case 'k', 'K':
			num, unit = s[:n-1], 1.0/1024
		case 'm', 'M':
			num = s[:n-1]
		case 'g', 'G':
			num, unit = s[:n-1], 1024
		}
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || v != v {
		return 0, fmt.Errorf("-m %s: not a size of memory (examples: 128, 64M, 2G)", s)
	}
	if v*unit < least || v*unit > most {
		return 0, fmt.Errorf("-m %s: between %d MiB and %d GiB are possible", s, least, most>>10)
	}
	return int(v * unit), nil
}
