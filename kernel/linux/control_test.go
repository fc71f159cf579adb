package linux

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	host "golang.org/x/sys/unix"

	"gosv/kernel/socket"
)

// tail returns n bytes behind which there is no memory.
func tail(t *testing.T) func(n int) []byte {
	page := os.Getpagesize()
	b, err := host.Mmap(-1, 0, 2*page, host.PROT_READ|host.PROT_WRITE, host.MAP_ANON|host.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Munmap(b) })
	host.Mprotect(b[page:], host.PROT_NONE)
	return func(n int) []byte { return b[page-n : page : page] }
}

// controlBytes is control messages as a program could write them, well or not.
func controlBytes(r *rand.Rand) (b []byte) {
	for range r.IntN(4) {
		level := [...]uint32{host.SOL_SOCKET, host.SOL_SOCKET, host.SOL_SOCKET, host.SOL_IP, 77}[r.IntN(5)]
		kind := [...]uint32{host.SCM_RIGHTS, host.SCM_RIGHTS, host.SCM_CREDENTIALS, 5, 0}[r.IntN(5)]
		var data []byte
		if kind == host.SCM_CREDENTIALS {
			data = binary.LittleEndian.AppendUint32(data, [...]uint32{uint32(os.Getpid()), uint32(os.Getpid()), 0, 1 << 30}[r.IntN(4)])
			for range 2 {
				data = binary.LittleEndian.AppendUint32(data, [...]uint32{0, 0, 1234, 1<<32 - 1}[r.IntN(4)])
			}
		} else {
			for range [...]int{0, 1, 1, 2, 3, 254}[r.IntN(6)] {
				data = binary.LittleEndian.AppendUint32(data, [...]uint32{0, 1, 2, 0, 1, 2, 1<<32 - 1, 1 << 20}[r.IntN(8)])
			}
		}
		if r.IntN(6) == 0 {
			data = data[:len(data)-r.IntN(len(data)+1)]
		}
		size := uint64(cmsgHdrSize) + uint64(len(data))
		if r.IntN(6) == 0 {
			size = [...]uint64{0, 15, 16, 17, size + 1, size - 1, size + 8, 1 << 63, 1<<64 - 1, 1<<64 - 16}[r.IntN(10)]
		}
		b = binary.LittleEndian.AppendUint64(b, size)
		b = binary.LittleEndian.AppendUint32(b, level)
		b = binary.LittleEndian.AppendUint32(b, kind)
		b = append(b, data...)
		b = append(b, make([]byte, -len(b)&7)...)
	}
	return b[:len(b)-r.IntN(len(b)+1)/4]
}

// told is what a program sees of control messages that came: of files, how many.
func told(b []byte) string {
	s := fmt.Sprint(len(b))
	list, _ := host.ParseSocketControlMessage(b)
	for _, c := range list {
		s += fmt.Sprint(" ", c.Header.Level, c.Header.Type, " ")
		if c.Header.Type == host.SCM_RIGHTS {
			s += fmt.Sprint(len(c.Data) / 4)
		} else {
			s += fmt.Sprint(c.Data)
		}
	}
	return s
}

// TestControlLikeHost: whatever a program gives sendmsg(2) for control messages, and however
// little room recvmsg(2), it is told what the host's Linux tells it.
func TestControlLikeHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root may send other credentials than others")
	}
	fds, err := host.Socketpair(host.AF_UNIX, host.SOCK_DGRAM|host.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	host.SetsockoptInt(fds[1], host.SOL_SOCKET, host.SO_PASSCRED, 1)
	th := testThreads(1)[0]
	th.proc.pid = os.Getpid()
	th.proc.cred.login(0, 0, nil)
	th.proc.limits.init()
	x, y := th.proc.kernel.unix.Pair(socket.Dgram, th.Cred())
	y.Switches.Or(1 << socket.SoPasscred)
	from, to := newFile(&socketFile{x}, oRdwr), newFile(&socketFile{y}, oRdwr)
	for range 3 {
		th.install(newFile(&pollObject{}, 0), 0, false)
	}
	end := tail(t)
	payload := []byte("x")
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		sent := controlBytes(r)
		control := end(len(sent))
		copy(control, sent)
		iov := host.Iovec{Base: &payload[0], Len: 1}
		m := host.Msghdr{Iov: &iov, Iovlen: 1, Control: unsafe.SliceData(control), Controllen: uint64(len(control))}
		_, _, want := host.Syscall(host.SYS_SENDMSG, uintptr(fds[0]), uintptr(unsafe.Pointer(&m)), host.MSG_DONTWAIT)
		_, got := th.sendMessage(from, x, uintptr(unsafe.Pointer(&m)), host.MSG_DONTWAIT)
		if uintptr(got) != uintptr(want) {
			t.Fatalf("seed %d: sendmsg: %v, want %v\n% x", seed, got, Errno(want), sent)
		}
		if got != 0 {
			continue
		}
		room := r.IntN(72)
		receive := func(call func(m *host.Msghdr) Errno, closeFD func(fd int)) string {
			control := end(room)
			clear(control)
			m := host.Msghdr{Iov: &iov, Iovlen: 1, Control: unsafe.SliceData(control), Controllen: uint64(room)}
			if err := call(&m); err != 0 {
				return err.Error()
			}
			result := fmt.Sprintf("%s, flags %#x", told(control[:m.Controllen]), m.Flags)
			list, _ := host.ParseSocketControlMessage(control[:m.Controllen])
			for _, c := range list {
				rights, _ := host.ParseUnixRights(&c)
				for _, fd := range rights {
					closeFD(fd)
				}
			}
			return result
		}
		wanted := receive(func(m *host.Msghdr) Errno {
			_, _, err := host.Syscall(host.SYS_RECVMSG, uintptr(fds[1]), uintptr(unsafe.Pointer(m)), host.MSG_DONTWAIT)
			return Errno(err)
		}, func(fd int) { host.Close(fd) })
		had := receive(func(m *host.Msghdr) Errno {
			_, err := th.receiveMessage(to, y, uintptr(unsafe.Pointer(m)), host.MSG_DONTWAIT)
			return err
		}, func(fd int) { th.proc.files.take(uintptr(fd)).Release() })
		if had != wanted {
			t.Fatalf("seed %d: recvmsg with room for %d: %s, want %s\n% x", seed, room, had, wanted, sent)
		}
	}
	for fd := range uintptr(3) {
		if f, _ := th.file(fd); f.refs.Load() != 2 {
			t.Errorf("file %d is left with %d references", fd, f.refs.Load()-1)
		}
	}
}
