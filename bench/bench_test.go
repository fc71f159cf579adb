package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseCounts(t *testing.T) {
	const out = "line first_byte=400 newline=446411 rep=1763 wall_ms=114.72 | Hello from a microVM\n" +
		"partial first_byte=447273 | x\nexit total=457420 rep=1775 last_byte=447282 wall_ms=118.30\n"
	if n, err := parseCounts([]byte(out), helloLine); n != 446411 || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
	if _, err := parseCounts([]byte(out), "Hello"); err == nil {
		t.Error("a part of a line was taken for it")
	}
}

func TestParseExits(t *testing.T) {
	const out = "Hello\n\x1b_MARKx0\x1b\\kvm-exits total 164\nkvm-exits msr 52\nkvm-exits interrupt 110\nkvm-exits vintr 2\n"
	n, reasons, err := parseExits(out)
	if n != 54 || reasons != "by reason: msr 52, vintr 2" || err != nil {
		t.Errorf("got %v, %q, %v", n, reasons, err)
	}
	if _, _, err := parseExits("Hello\n"); err == nil {
		t.Error("no error without counts")
	}
}

func TestParseTimes(t *testing.T) {
	const out = "Hello\n\ntimes 1.00 1.25 3.25\n\ntimes 4.00 5.00 7.00\r\n\ntimes 8.00 8.50 10.50\n"
	if ratio, err := parseTimes(out); ratio != 0.25 || err != nil {
		t.Errorf("got %v, %v", ratio, err)
	}
	if _, err := parseTimes("Hello\n"); err == nil {
		t.Error("no error without times")
	}
}

func TestParseRates(t *testing.T) {
	const out = "web x 9\nlinux\r\nweb x 2.5\r\ngosv\nweb x 10\nnoise web y 4\nlinux\nweb y 2\nweb x 5\ngosv\nweb x 5\nweb y 8\nlinux\nweb y 16\n"
	gosv, linux, err := parseRates(out, webResult, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	r := rates{gosv: gosv, linux: linux}
	for _, c := range []struct {
		linux bool
		want  float64
		note  string
	}{{false, 10, "4.00 of Linux's"}, {true, 5, ""}} {
		if v, note, err := r.get("x", c.linux, nil); v != c.want || note != c.note || err != nil {
			t.Errorf("got %v, %q, %v", v, note, err)
		}
	}
	for _, bad := range []string{"", "gosv\nweb x 1\n", out + "web x 1\n"} {
		if _, _, err := parseRates(bad, webResult, 2, 2); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestLinuxPayload(t *testing.T) {
	img := make([]byte, 2048)
	img[0x1f1] = 1    // one sector of setup after the boot sector
	img[0x248] = 0x20 // from the end of those
	img[0x24c] = 10
	copy(img[1024+0x20:], "\x02\x21\x4c\x18ab\x00\x00\x00\x01")
	got, err := linuxPayload(img)
	if string(got) != "\x02\x21\x4c\x18ab" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	img[0x24d] = 0x10
	for _, bad := range [][]byte{nil, img} {
		if _, err := linuxPayload(bad); err == nil {
			t.Errorf("no error for %d bytes", len(bad))
		}
	}
}

func TestParseMicro(t *testing.T) {
	const out = "getppid                       141\n" +
		"mmap+touch+munmap 64K        2685\n" +
		"unix socket ping-pong    failed: Function not implemented\n"
	got, err := parseMicro(out)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]microResult{
		"getppid":               {instructions: 141},
		"mmap+touch+munmap 64K": {instructions: 2685},
		"unix socket ping-pong": {failed: "Function not implemented"},
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: got %+v, want %+v", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	if _, err := parseMicro("Hello\n"); err == nil {
		t.Error("no error without measurements")
	}
}

// The rows are those of micro.c, in its order.
func TestMicroOperations(t *testing.T) {
	source, err := os.ReadFile("micro/micro.c")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?:BENCH|EXPECT)\("([^"]+)"`).FindAllSubmatch(source, -1) {
		names = append(names, string(m[1]))
	}
	if !slices.Equal(names, microOperations) {
		t.Errorf("micro.c has\n%q, rows.go has\n%q", names, microOperations)
	}
}

func TestPeersHaveRows(t *testing.T) {
	for name := range peerCells {
		if !slices.ContainsFunc(rows(), func(r row) bool { return r.name == name }) {
			t.Errorf("no row %q", name)
		}
	}
}

func TestLeast(t *testing.T) {
	for want := 2; want <= 64; want++ {
		if got := least(1, 64, func(n int) bool { return n >= want }); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	b := &bench{}
	results := []result{
		b.run(row{name: "getppid", unit: unitInstructions, budget: 150,
			measure: func(*bench) (float64, string, error) { return 1141, "a note", nil },
			linux:   func(*bench) (float64, string, error) { return 2282, "", nil }}),
		b.run(row{name: "x", unit: unitExits, budget: 80, measure: func(*bench) (float64, string, error) { return 0, "", skip("no a|b\nat all") }}),
	}
	var out strings.Builder
	if err := printTable(&out, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| getppid | instructions | **1,141** | 150 | **no** | 2,282 ³ |  |  |  |  |\n",
		"| x | exits | skipped: no a\\|b | 80 |  |  |  |  |  |  |\n",
		"getppid, a note.\n",
		"Of these 1 rows gosv takes no more than Linux (or is as fast) in 1, and half of it or less (or is twice as fast) in 1.\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if results[0].failed || results[1].failed {
		t.Error("a skipped row failed")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.246: "0.25", 1.5: "1.50", 99: "99", 120.4: "120", 999: "999", 1000: "1,000", 2232482: "2,232,482"} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestParseStarts(t *testing.T) {
	const out = "line first_byte=10 newline=12 rep=1 wall_ms=1.5 | start\nline first_byte=90 newline=112 rep=1 wall_ms=9.5 | web first 0.5\n" +
		"line first_byte=200 newline=212 rep=1 wall_ms=1.5 | start\nline first_byte=300 newline=312 rep=1 wall_ms=1.5 | something went wrong\n" +
		"line first_byte=400 newline=412 rep=1 wall_ms=1.5 | start\nline first_byte=500 newline=612 rep=1 wall_ms=1.5 | web first 0.7\n" +
		"line first_byte=700 newline=712 rep=1 wall_ms=1.5 | start\nline first_byte=900 newline=892 rep=1 wall_ms=1.5 | web first 0.1\n"
	if n, err := parseStarts([]byte(out)); err != nil || n != 180 {
		t.Errorf("the median start takes %v, %v, not 180", n, err)
	}
	if _, err := parseStarts([]byte("exit total=1\n")); err == nil {
		t.Error("there are starts where there is none")
	}
}
