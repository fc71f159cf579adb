package vmm

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// CheckTAP says why a VMM of ours could not use a TAP device of the host's, or nil.
func CheckTAP(name string) error {
	fail := func(why string, args ...any) error {
		return fmt.Errorf("--net tap=%s: "+why, append([]any{name}, args...)...)
	}
	if len(name) >= unix.IFNAMSIZ {
		return fail("a name of an interface has %d letters at most", unix.IFNAMSIZ-1)
	}
	if _, err := net.InterfaceByName(name); err != nil {
		return fail("there is no such interface: root makes it by `ip tuntap add dev %s mode tap user %d`", name, os.Getuid())
	}
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("/dev/net/tun: %v", err)
	}
	defer unix.Close(tun)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fail("%v", err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	switch err := unix.IoctlIfreq(tun, unix.TUNSETIFF, req); {
	case errors.Is(err, unix.EPERM):
		return fail("it is another user's")
	case errors.Is(err, unix.EBUSY):
		return fail("another VM uses it")
	case errors.Is(err, unix.EINVAL):
		return fail("it is no TAP device")
	case err != nil:
		return fail("%v", err)
	}
	return nil
}
