package linux

import "testing"

// The cases are those of setuid(2), setreuid(2), setresuid(2) and
// capabilities(7), "Effect of user ID changes on capabilities".
func TestIdentity(t *testing.T) {
	i := identity{10, 20, 30, 20}
	check := func(what string, err, wantErr Errno, want identity) {
		t.Helper()
		if err != wantErr || i != want {
			t.Errorf("%s: %v, %v; want %v, %v", what, err, i, wantErr, want)
		}
	}
	check("setuid to another", i.set(40, false), EPERM, identity{10, 20, 30, 20})
	check("setuid to saved", i.set(30, false), 0, identity{10, 30, 30, 30})
	check("setuid by root", i.set(50, true), 0, identity{50, 50, 50, 50})
	check("setuid -1", i.set(noID, true), EINVAL, identity{50, 50, 50, 50})
	i = identity{10, 20, 30, 20}
	check("setreuid swaps", i.setRE(20, 10, false), 0, identity{20, 10, 10, 10})
	check("setreuid refused", i.setRE(20, 99, false), EPERM, identity{20, 10, 10, 10})
	check("setreuid keeps", i.setRE(noID, 20, false), 0, identity{20, 20, 10, 20})
	i = identity{10, 20, 30, 20}
	check("setresuid rotates", i.setRES(20, 30, 10, false), 0, identity{20, 30, 10, 30})
	check("setresuid refused", i.setRES(noID, noID, 99, false), EPERM, identity{20, 30, 10, 30})
	if old := i.setFS(99, false); old != 30 || i.fs != 30 {
		t.Errorf("setfsuid to another: %d, %d", old, i.fs)
	}
	if old := i.setFS(10, false); old != 30 || i.fs != 10 {
		t.Errorf("setfsuid: %d, %d", old, i.fs)
	}
}

func TestCapabilitiesFollowIDs(t *testing.T) {
	var c credentials
	change := func(f func()) {
		old := c.uid
		f()
		c.follow(old)
	}
	c.login(0, 0, nil)
	change(func() { c.uid.effective, c.uid.fs = 1000, 1000 })
	if c.effective != 0 || c.permitted != allCapabilities {
		t.Errorf("effective id dropped: %#x %#x", c.effective, c.permitted)
	}
	change(func() { c.uid.effective, c.uid.fs = 0, 0 })
	if c.effective != allCapabilities {
		t.Errorf("effective id back: %#x", c.effective)
	}
	change(func() { c.uid.fs = 1000 })
	if c.effective != allCapabilities&^fsCapabilities {
		t.Errorf("file system id dropped: %#x", c.effective)
	}
	change(func() { c.uid = identity{1000, 1000, 1000, 1000} })
	if c.effective != 0 || c.permitted != 0 {
		t.Errorf("all dropped: %#x %#x", c.effective, c.permitted)
	}
	c = credentials{keepCaps: true}
	c.login(0, 0, nil)
	change(func() { c.uid = identity{1000, 1000, 1000, 1000} })
	if c.permitted != allCapabilities || c.effective != 0 {
		t.Errorf("kept: %#x %#x", c.effective, c.permitted)
	}
}
