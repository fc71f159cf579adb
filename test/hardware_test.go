package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPVPanic: a VMM that wants to know hears that the kernel has failed, and
// only then.
func TestPVPanic(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	for _, kind := range []string{"pc", "q35"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for how, code := range map[string]int{"panic": 123, "nonsense": 125} {
				log := filepath.Join(t.TempDir(), "log")
				m := machine{"--vmm", "qemu", "--accel", "tcg", "--machine", kind, "--vmm-arg=-device", "--vmm-arg=pvpanic",
					"--vmm-arg=-d", "--vmm-arg=guest_errors", "--vmm-arg=-D", "--vmm-arg=" + log}
				r := run(t, m, options{flags: []string{"--debug", how}}, prog)
				said, err := os.ReadFile(log)
				if told := strings.Contains(string(said), "Guest crashed"); r.code != code || told != (how == "panic") {
					t.Errorf("%v\nwant exit code %d; QEMU says %q, %v", r, code, said, err)
				}
			}
		})
	}
}
