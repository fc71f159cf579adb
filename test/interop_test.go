package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// onHost returns what a program of the host's prints, and logs its failure; a test that needs one which is not there is skipped.
func onHost(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	r := command(t, nil, t.TempDir(), nil, append([]string{name}, args...)...)
	if r.code != 0 {
		t.Logf("%s: %v", name, r)
	}
	return r.stdout
}

// TestClients: the example answers the clients that people have.
func TestClients(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	vm := inBackground(t, microvm, []string{"-p", fmt.Sprintf("%d:80", port)}, "../examples/httpd")
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(t, func() error {
		r, err := http.Get(url)
		if err == nil {
			r.Body.Close()
		}
		return err
	})
	greeting := "Hello from " + vm.name
	t.Run("curl", func(t *testing.T) {
		if got := onHost(t, "curl", "-sS", url, url); got != greeting+"\n"+greeting+"\n" {
			t.Errorf("%q", got)
		}
		body := t.TempDir() + "/body"
		if err := os.WriteFile(body, make([]byte, 300_000), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := onHost(t, "curl", "-sS", "--data-binary", "@"+body, url+"/count"); got != "300000\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("wrk", func(t *testing.T) {
		got := onHost(t, "wrk", "-c", "64", "-t", "1", "-d", "1s", "--timeout", "1m", url)
		if !regexp.MustCompile(`\n +[1-9]\d* requests in `).MatchString(got) || strings.Contains(got, "Socket errors") || strings.Contains(got, "Non-2xx") {
			t.Error(got)
		}
	})
	t.Run("ab", func(t *testing.T) {
		for _, flags := range [][]string{{"-q"}, {"-q", "-k"}} {
			got := onHost(t, "ab", append(flags, "-n", "300", "-c", "8", url+"/")...)
			if !strings.Contains(got, "Complete requests:      300\n") || !strings.Contains(got, "Failed requests:        0\n") {
				t.Error(got)
			}
		}
	})
	t.Run("chromium", func(t *testing.T) {
		if !*stress {
			t.Skip("SKIPPED: a browser takes long to start: with -stress")
		}
		if got := onHost(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--user-data-dir="+t.TempDir(), url); !strings.Contains(got, greeting) {
			t.Errorf("%q", got)
		}
	})
}

// TestServers: servers that people have serve their own clients. They are none of this project's; variables name
// static ones: GOSV_REDIS of redis (make CFLAGS=-static LDFLAGS=-static MALLOC=libc redis-server), GOSV_IPERF3 of
// iperf3 (./configure --enable-static-bin). Their clients are the host's.
func TestServers(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, variable string, guest int, args ...string) (port string) {
		t.Helper()
		prog := os.Getenv(variable)
		if prog == "" {
			t.Skipf("SKIPPED: %s names no static program", variable)
		}
		port = fmt.Sprint(freePort(t))
		forward := fmt.Sprintf("%s:%d", port, guest)
		inBackground(t, microvm, []string{"-p", forward, "-p", forward + "/udp"}, prog, args...)
		return port
	}
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		port := serve(t, "GOSV_REDIS", 6379, "--protected-mode", "no", "--save", "")
		got := onHost(t, "redis-benchmark", "-p", port, "-n", "2000", "--csv")
		for _, row := range []string{"PING_INLINE", "SET", "GET", "LPUSH", "ZPOPMIN", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"} {
			if !strings.Contains(got, `"`+row+`","`) {
				t.Errorf("no row %s in %s", row, got)
			}
		}
	})
	t.Run("iperf3", func(t *testing.T) {
		t.Parallel()
		port := serve(t, "GOSV_IPERF3", 5201, "-s")
		for _, way := range [][]string{{"-n", "16M"}, {"-n", "16M", "-R"}, {"-n", "16M", "-P", "8"}, {"-t", "1", "-u", "-b", "1M"}} {
			// It does not listen between two clients.
			eventually(t, func() error {
				var result struct {
					End struct {
						Received struct{ Bytes float64 } `json:"sum_received"`
					}
				}
				got := onHost(t, "iperf3", append([]string{"-c", "127.0.0.1", "-p", port, "-J"}, way...)...)
				if err := json.Unmarshal([]byte(got), &result); err != nil || result.End.Received.Bytes == 0 {
					return fmt.Errorf("%v: %w: %s", way, err, got)
				}
				return nil
			})
		}
	})
}
