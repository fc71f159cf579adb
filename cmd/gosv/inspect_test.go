package main

import (
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	s, err := parseStat("17 (a) b) R 1 1 1 0 -1 0 1 2 3 4 50 7 0 0 20 0 1 0 0\n")
	if err != nil || s.id != 17 || s.name != "a) b" || s.state != "R" || s.ticks != 57 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "1 (a", "x (a) R 1 1 1 0 -1 0 1 2 3 4 50 7", "1 (a) R 1", ")(", "1 (a) R 1 1 1 0 -1 0 1 2 3 4 x 7"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestParseSockets(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	all, err := parseSockets(heading +
		"   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 12345 1\n" +
		"   1: 00000000000000000000000001000000:0050 0000000000000000FFFF00000200000A:D431 01 00000010:00000000 00:0 0 0 0 1 1\n")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if s := all[0]; s.local.String() != "127.0.0.1:3306" || s.remote.String() != "0.0.0.0:0" || s.state != "LISTEN" || s.receive != 1 {
		t.Errorf("%+v", s)
	}
	if s := all[1]; s.local.String() != "[::1]:80" || s.remote.String() != "10.0.0.2:54321" || s.state != "ESTABLISHED" || s.send != 16 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"x", "0: 0100007F:0CEA 00000000:0000 0A 0", "0: 0100007:0CEA 00000000:0000 0A 0:0", "0: 0100007F:0CEA 00000000:0000 ZZ 0:0"} {
		if all, err := parseSockets(heading + bad); err == nil {
			t.Errorf("%q: %+v", bad, all)
		}
	}
}

func TestSample(t *testing.T) {
	before := &sample{uptime: 1, threads: []thread{{1, "main", "S", 10}, {2, "worker", "R", 0}}}
	now := &sample{uptime: 3, cpus: 2, rss: 3 << 20, memory: map[string]uint64{"MemTotal": 64 << 20, "MemFree": 32 << 20},
		threads: []thread{{1, "main", "S", 12}, {2, "worker", "R", 150}, {3, "new", "S", 0}}}
	var b strings.Builder
	if err := now.print(&b, before); err != nil {
		t.Fatal(err)
	}
	const want = `up 3 s, 2 CPUs, memory 32.0 MiB of 64.0 MiB free, the program has 3.0 MiB

  THREAD  STATE  %CPU  TIME NAME
       2      R  75.0  1.50 worker
       1      S   1.0  0.12 main
       3      S   0.0  0.00 new
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := now.metrics(&b, "go_goroutines 12\n"); err != nil || !strings.Contains(b.String(), "\ngosv_kernel_go_goroutines 12\n") {
		t.Errorf("%v, %s", err, b.String())
	}
	if err := now.metrics(&b, "x y\n"); err == nil {
		t.Error("a value that is no number")
	}
}
