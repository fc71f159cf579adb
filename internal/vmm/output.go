package vmm

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// output is what a VMM prints, by a pipe. All of it comes, however late it is read. What the VMM may have left
// behind holds the pipe, too, and is not waited for.
type output struct {
	pipe  *os.File
	ended atomic.Bool
}

// end says that the VMM has ended.
func (o *output) end() {
	o.ended.Store(true)
	o.pipe.SetReadDeadline(time.Now()) // for who waits
}

// Read implements io.Reader.
func (o *output) Read(p []byte) (n int, err error) {
	for {
		if o.ended.Load() && !o.more() {
			return 0, io.EOF
		}
		if n, err = o.pipe.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		o.pipe.SetReadDeadline(time.Time{})
	}
}

// more says whether something, or the end, is in the pipe.
func (o *output) more() (is bool) {
	conn, err := o.pipe.SyscallConn()
	if err != nil {
		return false
	}
	conn.Control(func(fd uintptr) {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for err = unix.EINTR; err == unix.EINTR; {
			_, err = unix.Poll(ready, int(delay/time.Millisecond))
		}
		is = ready[0].Revents != 0
	})
	return is
}
