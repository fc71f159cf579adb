package main

import (
	"path/filepath"
	"strings"
	"testing"

	"gosv/internal/vmm"
)

func TestNamedImages(t *testing.T) {
	// What the guest prints is its image, as far as a shell can.
	dir := fakeQEMU(t, `[ -s "$image" ] && echo has an image; say x`)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if o := gosv(t, dir, "", "build", "-t", "mine", program(t), "echo"); o.code != 0 || o.stdout != "" {
		t.Fatalf("%+v", o)
	}
	if o := gosv(t, dir, "", "images"); o.code != 0 || !strings.Contains(o.stdout, "mine ") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "run", "--vmm", "qemu", "--accel", "tcg", "mine"); o.code != 0 || o.stdout != "has an image\n" {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "rmi", "mine", "other"); o.code != vmm.ExitGosv || strings.Contains(o.stderr, "mine") || !strings.Contains(o.stderr, "other: there is no image") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "run", "mine"); o.code != exitNotFound {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "build", "-t", "../x", program(t)); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "no name for an image") {
		t.Errorf("%+v", o)
	}
}

func TestDoctor(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	o := gosv(t, fakeQEMU(t, "echo QEMU emulator version 99"), "", "doctor")
	if o.code != 0 || !strings.Contains(o.stdout, "QEMU emulator version 99") {
		t.Errorf("%+v", o)
	}
	// gosv() appends the usual directories; without QEMU in them nothing runs.
	if m, _ := filepath.Glob("/usr/bin/qemu-system-x86_64"); m != nil {
		return
	}
	if o := gosv(t, t.TempDir(), "", "doctor"); o.code != vmm.ExitGosv || !strings.Contains(o.stdout, "MISSING") {
		t.Errorf("%+v", o)
	}
}
