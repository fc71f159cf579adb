package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUndescribed(t *testing.T) {
	const source = "type call struct {\n\trun  func()\n\tdesc string\n}\n\nvar calls = [2]call{\n" +
		"\t0:   {sysRead, \"read(fd,out,u)\"},\n\t333: {nil, \"io_pgetevents(x,d) missing: why, \\\\ 'no'\"},\n}\n"
	if _, err := undescribed(source); err == nil {
		t.Error("a description with a backslash was understood, but how?")
	}
	got, err := undescribed(strings.ReplaceAll(source, `\\ `, ""))
	want := "type call struct {\n\trun  func()\n\n}\n\nvar calls = [2]call{\n\t0:   {sysRead},\n\t333: {nil},\n}\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	for _, bad := range []string{"", "package linux", strings.Replace(source, "desc string", "text string", 1), want} {
		if _, err := undescribed(bad); err == nil {
			t.Errorf("nothing is wrong with %q", bad)
		}
	}
}

// No description is in the kernel.
func TestNoDescriptions(t *testing.T) {
	kernel, err := linkedKernel()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"getdents64(fd,", "futex(p,futex,", " missing: ", " partial: "} {
		if bytes.Contains(kernel, []byte(text)) {
			t.Errorf("the kernel contains %q", text)
		}
	}
}
