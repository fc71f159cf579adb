package abi

import (
	"slices"
	"testing"
)

func TestCalls(t *testing.T) {
	calls := Calls()
	if len(calls) < 350 {
		t.Errorf("only %d calls", len(calls))
	}
	for i, c := range calls {
		if i > 0 && c.Number <= calls[i-1].Number {
			t.Errorf("%s is out of order", c.Name)
		}
		if len(c.Args) > 6 {
			t.Errorf("%s has %d arguments", c.Name, len(c.Args))
		}
	}
	if c, ok := Find("openat"); !ok || c.Number != 257 || c.State != Complete || !slices.Equal(c.Args, []string{"at", "path", "open", "mode"}) {
		t.Errorf("openat: %+v, %v", c, ok)
	}
}

func TestParse(t *testing.T) {
	c, err := Parse(16, "ioctl(fd,ioctl,p) partial: what terminals know: more or less")
	if err != nil || c.State != Partial || c.Note != "what terminals know: more or less" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", "open", "open(", "Open()", "open() broken: why", "open() partial:"} {
		if c, err := Parse(2, bad); err == nil {
			t.Errorf("%q became %+v", bad, c)
		}
	}
}

func TestNear(t *testing.T) {
	for name, want := range map[string]string{"opne": "open", "mmpa": "mmap", "sigaction": "rt_sigaction", "exit-group": "exit_group", "raed": "read"} {
		if near := Near(name); !slices.Contains(near, want) {
			t.Errorf("%s: %v, without %s", name, near, want)
		}
	}
	if near := Near("no_such_call_at_all"); len(near) > 0 {
		t.Errorf("%v", near)
	}
}
