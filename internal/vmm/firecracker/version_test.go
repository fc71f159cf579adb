package firecracker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosv/internal/vmm"
)

// An old firecracker is told from one that has another reason to fail.
func TestOutdated(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	plain, rng, balloon := &vmm.Machine{}, &vmm.Machine{Devices: vmm.Devices{RNG: true}}, &vmm.Machine{Devices: vmm.Devices{Balloon: true}}
	for _, tt := range []struct {
		says string
		m    *vmm.Machine
		want string
	}{
		{"Firecracker v0.25.2", plain, "Firecracker v0.25.2 is too old: version 1.0 or newer is needed; get a release"},
		{"Firecracker v1.3.3", plain, ""},
		{"Firecracker v1.3.3", rng, "Firecracker v1.3.3 is too old for --rng: version 1.4 or newer"},
		{"Firecracker v1.4.0", rng, ""},
		{"Firecracker v1.13.1", balloon, "too old for --balloon: version 1.14"},
		{"Firecracker v1.17.0-dev", balloon, ""},
		{"Firecracker v2.0.0", balloon, ""},
		{"something else", plain, ""},
	} {
		script := "#!/bin/sh\necho '" + tt.says + "'\necho\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		err := (&Firecracker{}).Outdated(tt.m)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.says, err, tt.want)
		}
	}
}
