package test

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestStop: a signal to gosv run ends the program first, which may clean up; a
// second one does not wait for it.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		signals      []syscall.Signal
		output       string
		code         int
	}{
		{"busy", "echo ready; while :; do :; done", []syscall.Signal{syscall.SIGTERM}, "ready\n", 128 + int(syscall.SIGTERM)},
		{"cleans up", "trap 'echo bye; exit 3' TERM; echo ready; while :; do :; done", []syscall.Signal{syscall.SIGHUP}, "ready\nbye\n", 3},
		{"reads", "echo ready; read x; echo no", []syscall.Signal{syscall.SIGINT}, "ready\n", 128 + int(syscall.SIGTERM)},
		{"does not care", "trap '' TERM; echo ready; while :; do :; done", []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, "ready\n", 128 + int(syscall.SIGTERM)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			argv := append([]string{"run", "--timeout", bound.String()}, microvm...)
			cmd := exec.Command(gosv, append(argv, busybox(t), "sh", "-c", c.script)...)
			in, err := cmd.StdinPipe() // stays open
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			var got strings.Builder
			line, _ := r.ReadString('\n')
			got.WriteString(line)
			for _, s := range c.signals {
				if err := cmd.Process.Signal(s); err != nil {
					t.Error(err)
				}
			}
			r.WriteTo(&got)
			cmd.Wait()
			code := cmd.ProcessState.ExitCode()
			if len(c.signals) > 1 && code == 128+int(c.signals[1]) {
				code = c.code // of two signals sent at once either may come first
			}
			if got.String() != c.output || code != c.code {
				t.Errorf("%q, exit code %d; want %q, %d", got.String(), code, c.output, c.code)
			}
		})
	}
}
