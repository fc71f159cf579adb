package vmm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"gosv/internal/console"
	"gosv/internal/inspect"
	"gosv/internal/network"
	"gosv/internal/trace"
)

// Exit codes of a run that are not the program's own.
const (
	ExitKernel  = 123 // the kernel failed, or the VM ended without a report
	ExitTimeout = 124
	ExitGosv    = 125 // gosv itself could not do it
)

// Patience is how long a program may take to end when it is asked to.
const Patience = 10 * time.Second

// delay is how long what a VMM leaves may hold us up: what it has started, or who does not take what it has printed when
// the VM was to be ended.
const delay = time.Second

// Run is a machine's run under the eyes of a user.
type Run struct {
	Argv    []string      // the VMM's command line
	Jailed  bool          // Argv calls Keep: in a namespace of processes of its own
	Wire    *network.Wire // of a VMM that Argv starts behind network.Enter; may be nil
	Token   string        // of the console's control strings
	Timeout time.Duration
	TTY     bool // the guest's console is our terminal
	Console bool // the machine has a virtio console, for all but what its kernel says when it dies
	Stdin   *os.File
	Stdout  io.Writer
	Stderr  io.Writer
	Plan    *trace.Plan        // what the kernel reports of the application; may be nil
	Records io.Writer          // takes that; may be nil
	Dumps   bool               // SIGQUIT to us asks the kernel for a core dump
	Net     network.Interfaces // of the machine, but for what Wire becomes
	Started func(*inspect.VM)  // called when the VMM runs; may be nil
}

// Result is how a run ended.
type Result struct {
	Code   int
	Report bool   // the guest said so itself
	Output bool   // the guest printed anything
	VMM    string // what the VMM itself printed last
	Status string // and how it ended: exit status 1, signal: killed
}

// Do starts the VMM, passes input and output, and waits for the end. An error
// means that the VMM could not be started.
func (r *Run) Do(ctx context.Context) (Result, error) {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	own := &tail{}
	cmd := exec.CommandContext(ctx, r.Argv[0], r.Argv[1:]...)
	// Its own process group: Ctrl-C at the terminal is for us to act on. And
	// should we be killed, it shall not outlive us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if r.Jailed {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	}
	cmd.Stderr = own
	in, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	input := &lockedWriter{w: in}
	guest := inspect.NewGuest(input)
	defer guest.End()
	demux := console.NewDemux(r.Token, r.Stdout, r.Stderr, r.Stderr)
	demux.Records, demux.Replies = guest.Records(r.Plan, r.Records), guest
	pipe, theirOut, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer pipe.Close()
	out := &output{pipe: pipe}
	cmd.Stdout = theirOut
	cmd.WaitDelay = delay

	if r.TTY {
		state, err := term.MakeRaw(int(r.Stdin.Fd()))
		if err != nil {
			return Result{}, fmt.Errorf("switching the terminal to raw mode: %w", err)
		}
		defer term.Restore(int(r.Stdin.Fd()), state)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH)
	NotifyEnd(signals)
	if r.Dumps {
		signal.Notify(signals, syscall.SIGQUIT)
	}
	defer signal.Stop(signals)
	start := func() error {
		err := cmd.Start()
		if err != nil {
			err = fmt.Errorf("starting %s: %w", r.Argv[0], err)
		}
		return err
	}
	if r.Wire != nil {
		start = func() error { return r.Wire.Start(cmd) }
	} else {
		cmd.ExtraFiles = []*os.File{nil} // in the place of its end
	}
	var hvc *console.Demux
	var hvcFile, theirs *os.File
	if r.Console {
		if hvcFile, theirs, err = socketPair(); err != nil {
			return Result{}, err
		}
		defer hvcFile.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, theirs) // ConsoleFD
		hvc = console.NewDemux(r.Token, r.Stdout, r.Stderr, r.Stderr)
		hvc.Records = demux.Records
	}
	err = start()
	theirOut.Close()
	if theirs != nil {
		theirs.Close()
	}
	if err != nil {
		if r.Wire != nil {
			r.Wire.Close()
		}
		return Result{}, err
	}
	var werr error                // why what it prints could not be passed on
	passed := make(chan struct{}) // closed when all of it is
	vm := &inspect.VM{Guest: guest, Net: &r.Net}
	if r.Wire != nil {
		user, err := r.Wire.Connect()
		if err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return Result{}, err
		}
		defer user.Close()
		vm.Net.User = user
	}
	input.Write(console.Start)
	ended := make(chan struct{}) // of what comes by the virtio console
	if hvc == nil {
		close(ended)
	} else {
		hvc.Replies = guest
		go func() {
			<-demux.Moved // what came before is passed on
			io.Copy(&acknowledger{w: hvc, input: input}, hvcFile)
			hvc.Close()
			close(ended)
		}()
	}
	go func() {
		_, werr = io.Copy(demux, out)
		pipe.Close() // if it was not: nobody takes more
		demux.Close()
		demux.Move()
		<-ended
		close(passed)
	}()
	insist := func() {}
	if r.TTY {
		insist = func() {
			fmt.Fprint(r.Stderr, "\r\ngosv: SIGTERM to the program; three more Ctrl-C end the VM\r\n")
			select {
			case signals <- syscall.SIGINT:
			default:
			}
		}
	}
	if hvc == nil {
		go r.feed(input, insist)
	} else {
		go r.feed(hvcFile, insist)
	}
	if r.Started != nil {
		r.Started(vm)
	}
	killed := make(chan syscall.Signal, 1)
	enough := make(chan struct{}) // closed when it is killed
	done := make(chan struct{})
	go func() {
		var first syscall.Signal // asked the program to end
		var patience <-chan time.Time
		for {
			select {
			case s := <-signals:
				switch s {
				case syscall.SIGWINCH:
					if cols, rows, err := term.GetSize(int(r.Stdin.Fd())); err == nil && r.TTY {
						input.Write(console.Resize(rows, cols))
					}
					continue
				case syscall.SIGQUIT:
					input.Write(console.DumpCore)
					continue
				}
				if first == 0 {
					first = s.(syscall.Signal)
					patience = time.After(Patience)
					go input.Write(console.Terminate) // which the guest may not take
					continue
				}
			case <-patience:
			case <-done:
				return
			}
			killed <- first
			cmd.Process.Kill()
			close(enough)
			return
		}
	}()
	err = cmd.Wait()
	out.end()
	res := Result{Output: true, VMM: own.String(), Status: cmd.ProcessState.String()}
	select {
	case <-passed:
	case <-ctx.Done():
	case <-enough:
	}
	select {
	case <-passed:
		if err == nil {
			err = werr
		}
		res.Output = demux.Wrote()
		res.Code, res.Report = demux.Exit()
	case <-time.After(delay): // nobody takes it
	}
	close(done)
	var exit *exec.ExitError
	switch {
	case res.Report:
	case len(killed) > 0:
		res.Code, res.Report = 128+int(<-killed), true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		res.Code = ExitTimeout
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return res, err
	default:
		res.Code = ExitKernel
	}
	return res, nil
}

// NotifyEnd has c told of the signals that end a program, but for those that whoever started
// us wants to be ignored (nohup, or a shell's background).
func NotifyEnd(c chan<- os.Signal) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}

// Keep runs argv as a child, and returns its exit code. It is called in the first process
// of a namespace, which all others in there end with: one that becomes another user
// loses the signal that it would get when its parent ends (prctl(2), PR_SET_PDEATHSIG).
func Keep(argv []string) (code int, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// acknowledger passes output on and tells the guest, which never sends more than it
// knows to be taken: QEMU drops what its virtconsole cannot get rid of.
type acknowledger struct {
	w, input io.Writer
	taken    int
}

func (a *acknowledger) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	for a.taken += n; a.taken >= console.Part; a.taken -= console.Part {
		a.input.Write(console.Acknowledge)
	}
	return n, err
}

// socketPair returns the ends of a connection.
func socketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console"), nil
}

// feed sends our standard input to the guest. It calls insist when Ctrl-C was pressed several times in
// a row.
func (r *Run) feed(w io.Writer, insist func()) {
	buf := make([]byte, 4096)
	var out []byte
	var keys interrupts
	for {
		n, err := r.Stdin.Read(buf)
		if keys.enough(buf[:n], time.Now()) {
			insist()
		}
		out = console.Escape(out[:0], buf[:n])
		if _, werr := w.Write(out); werr != nil {
			return
		}
		if err != nil {
			w.Write(console.EndOfInput)
			return
		}
	}
}

// interrupts counts Ctrl-C in a row. On a terminal they are the program's, which may ignore them.
type interrupts struct {
	n     int
	first time.Time
}

// enough says whether p, which was typed now, has the last of three within a second.
func (i *interrupts) enough(p []byte, now time.Time) (enough bool) {
	const key, many, within = 3, 3, time.Second
	for _, c := range p {
		switch {
		case c != key:
			i.n = 0
			continue
		case i.n == 0 || now.Sub(i.first) > within:
			i.n, i.first = 0, now
		}
		if i.n++; i.n == many {
			i.n, enough = 0, true
		}
	}
	return enough
}

// lockedWriter keeps what two goroutines write apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - keep; extra > 0 {
		t.b = bytes.Clone(t.b[extra:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
