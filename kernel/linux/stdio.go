package linux

import (
	"errors"
	"sync"

	"gosv/kernel/boot"
	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/tty"
	"gosv/kernel/wait"
)

// terminated is what p gets when the host wants it to end.
func (p *Process) terminated() {
	go p.signal(nil, &sigInfo{signo: SIGTERM, code: siUser})
}

// initFiles gives the first process its descriptors 0, 1 and 2, and its
// directories.
func (p *Process) initFiles(dir string) error {
	console.OnTerminate(p.terminated)
	console.OnShow(func(path string) { go p.show(path) })
	console.OnPlan(func(plan []byte) { go p.diagnose(plan) })
	s := &p.files
	s.umask = 0o022
	s.caller = p.cred.caller()
	s.caller.PID = p.pid
	s.root = p.kernel.Root.Root()
	s.cwd = s.root
	if dir != "" && dir != "/" {
		at := fs.At{Caller: &fs.Caller{Caps: allCapabilities}, Root: s.root, Base: s.root, Flags: fs.OnlyDir}
		place, err := at.Lookup(dir)
		if err != 0 {
			return errors.New("the working directory " + dir + " is not in the image: " + err.Error())
		}
		s.cwd = place
	}
	s.fds = make([]descriptor, 3, 8)
	if size, ok := boot.Option(metal.CmdLine(), "gosv.tty"); ok {
		f := newFile(p.openConsole(size), oRdwr|oLarge)
		f.refs.Store(3)
		for fd := range s.fds {
			s.fds[fd].file = f
		}
	} else {
		s.fds[0].file = newFile(&theInput, oRdonly)
		s.fds[1].file = newFile(&consoleOutput{stream: metal.Stdout}, oWronly)
		s.fds[2].file = newFile(&consoleOutput{stream: metal.Stderr}, oWronly)
	}
	s.unused = 3
	return nil
}

// openConsole makes the console a terminal of p's, of the given size (ROWSxCOLS).
func (p *Process) openConsole(size string) object {
	rows, cols, _ := cut(size, 'x')
	r, _ := parseInt(rows)
	c, _ := parseInt(cols)
	y := tty.NewConsole(uint16(r), uint16(c))
	p.kernel.console = y
	p.session.Take(y)
	console.Listen(y, framed()) // also for who never reads: Ctrl-C must get through
	return &terminalFile{end: y}
}

// framed says whether the host uses escapes.
func framed() bool {
	_, ok := boot.Option(metal.CmdLine(), "gosv.report")
	return ok
}

// consoleInput is standard input when it is no terminal: it looks like a pipe.
// The serial port is listened to from the first read on.
type consoleInput struct {
	noObject
	once   sync.Once
	reader sync.Mutex // who takes bytes out; above mu
	mu     sync.Mutex
	buf    []byte
	ended  bool
	queue  wait.Queue
}

var theInput consoleInput

// Room implements console.Receiver: what is not taken stays with the host.
func (c *consoleInput) Room() int {
	const most = 64 << 10
	c.mu.Lock()
	defer c.mu.Unlock()
	return most - len(c.buf)
}

// Input implements console.Receiver.
func (c *consoleInput) Input(p []byte) {
	c.mu.Lock()
	c.buf = append(c.buf, p...)
	c.mu.Unlock()
	c.queue.Wake()
}

// EndOfInput implements console.Receiver.
func (c *consoleInput) EndOfInput() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.queue.Wake()
}

// Resize implements console.Receiver.
func (c *consoleInput) Resize(rows, cols int) {}

// Attend listens to what the host wants of p, also if p never reads its input.
func (p *Process) Attend() {
	if framed() && p.kernel.console == nil {
		theInput.listen()
	}
}

func (c *consoleInput) listen() { c.once.Do(func() { console.Listen(c, framed()) }) }

func (c *consoleInput) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	if u.left == 0 {
		return 0, 0
	}
	c.listen()
	err = t.block(f, &c.queue, func() bool {
		c.reader.Lock()
		defer c.reader.Unlock()
		c.mu.Lock()
		come, ended := c.buf, c.ended
		c.mu.Unlock()
		if len(come) == 0 {
			return ended
		}
		n = u.Put(come) // without the lock: who brings input must not wait for a page
		c.mu.Lock()
		c.buf = c.buf[n:]
		c.mu.Unlock()
		return true
	})
	if n > 0 {
		console.Poll()
	}
	return n, err
}

func (c *consoleInput) poll(*File) (ready uint32, q *wait.Queue) {
	c.listen()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf) > 0 {
		ready = pollIn | pollRdNorm
	}
	if c.ended {
		ready |= pollHup
	}
	return ready, &c.queue
}

func (c *consoleInput) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	if req != fioNRead {
		return 0, ENOTTY
	}
	c.listen()
	c.mu.Lock()
	n := int32(len(c.buf))
	c.mu.Unlock()
	return 0, copyOut(t, arg, &n)
}

// consolePipe is what stat says of them.
func consolePipe(ino uint64) fs.Attr {
	return fs.Attr{Ino: ino, Mode: fs.FIFO | 0o600, Nlink: 1, BlockSize: pageSize}
}

func (c *consoleInput) attr() fs.Attr { return consolePipe(1) }
func (c *consoleInput) name() string  { return "pipe:[1]" }

// consoleOutput is standard output or standard error when it is no terminal.
type consoleOutput struct {
	noObject
	stream metal.Stream
}

func (c *consoleOutput) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	var few [512]byte
	buf := few[:]
	if u.left > len(few) {
		buf = make([]byte, min(u.left, pageSize))
	}
	for u.left > 0 && !u.fault {
		n := u.Get(buf)
		console.Write(c.stream, buf[:n])
		done += n
	}
	return done, 0
}

func (c *consoleOutput) poll(*File) (uint32, *wait.Queue) { return pollOut | pollWrNorm, nil }

func (c *consoleOutput) attr() fs.Attr {
	if c.stream == metal.Stderr {
		return consolePipe(3)
	}
	return consolePipe(2)
}

func (c *consoleOutput) name() string {
	if c.stream == metal.Stderr {
		return "pipe:[3]"
	}
	return "pipe:[2]"
}
