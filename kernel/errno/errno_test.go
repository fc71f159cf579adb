package errno

import (
	"syscall"
	"testing"
)

// The names stand at their numbers, and the numbers are Linux's.
func TestNames(t *testing.T) {
	for e, want := range map[Errno]string{
		EPERM: "EPERM", EDEADLK: "EDEADLK", ENOTEMPTY: "ENOTEMPTY", ENOMSG: "ENOMSG", EBADSLT: "EBADSLT",
		EBFONT: "EBFONT", EHWPOISON: "EHWPOISON", RestartSys: "ERESTARTSYS", 0: "errno 0", 41: "errno 41",
		58: "errno 58", 134: "errno 134", 65535: "errno 65535",
	} {
		if got := e.Error(); got != want {
			t.Errorf("%d is %q, want %q", uint16(e), got, want)
		}
	}
	for e, host := range map[Errno]syscall.Errno{
		ENOENT: syscall.ENOENT, ELOOP: syscall.ELOOP, EOVERFLOW: syscall.EOVERFLOW, ETIMEDOUT: syscall.ETIMEDOUT,
		EUCLEAN: syscall.EUCLEAN, EOPNOTSUPP: syscall.EOPNOTSUPP, ERFKILL: syscall.ERFKILL,
	} {
		if uintptr(e) != uintptr(host) {
			t.Errorf("%v is %d, want %d", e, uint16(e), uintptr(host))
		}
	}
}

func TestResult(t *testing.T) {
	if got := EFAULT.Result(); got != ^uintptr(13) {
		t.Errorf("EFAULT as a result is %#x", got)
	}
}
