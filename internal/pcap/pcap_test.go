package pcap

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// samples are frames, what is printed of them, and which filters want them.
var samples = []struct {
	frame, text string
	wanted      []string
}{
	{"ffffffffffff525400123456 0806 0001080006040001 525400123456 0a00020f 000000000000 0a000202",
		"ARP, Request who-has 10.0.2.2 tell 10.0.2.15, length 28", []string{"arp", "host 10.0.2.2", "not ip"}},
	{"525400123456 52550a000202 0806 0001080006040002 52550a000202 0a000202 525400123456 0a00020f",
		"ARP, Reply 10.0.2.2 is-at 52:55:0a:00:02:02, length 28", []string{"arp and src 10.0.2.2", "arp src host 10.0.2.2"}},
	{"525400123456 52550a000202 0800 4500002c00004000400622bb 0a000202 0a00020f 1f90 0050 00000001 00000000 6002faf0 3e5d 0000 020405b4",
		"IP 10.0.2.2.8080 > 10.0.2.15.80: Flags [S], seq 1, win 64240, length 0", []string{"tcp", "port 80", "tcp dst port 80", "src port 8080 and dst host 10.0.2.15", "net 10.0.2.0/24", "udp or port 80"}},
	{"52550a000202 525400123456 0800 4500002e00004000400622b9 0a00020f 0a000202 0050 1f90 00000007 00000002 5018faf0 0000 0000 616263646566",
		"IP 10.0.2.15.80 > 10.0.2.2.8080: Flags [P.], seq 7:13, ack 2, win 64240, length 6", []string{"tcp src port 80", "not (udp or arp)"}},
	{"52550a000202 525400123456 0800 4500002000004000401122bc 0a00020f 0a000203 c000 0035 000c 0000 61626364 000000000000000000000000000000000000",
		"IP 10.0.2.15.49152 > 10.0.2.3.53: UDP, length 4", []string{"udp", "udp port 53", "dst 10.0.2.3 or arp"}},
	{"52550a000202 525400123456 0800 4500001c00004000400122d0 0a00020f 0a000202 0800 f7fb 0001 0003",
		"IP 10.0.2.15 > 10.0.2.2: ICMP echo request, id 1, seq 3, length 8", []string{"icmp", "ip and not tcp"}},
	{"3333ff123456 525400123456 86dd 6000000000183aff 00000000000000000000000000000000 ff0200000000000000000001ff123456 8700 0000 00000000 fe800000000000005054 00fffe123456",
		"IP6 :: > ff02::1:ff12:3456: ICMP6 neighbor solicitation, code 0, length 24", []string{"icmp6", "ip6 dst host ff02::1:ff12:3456"}},
	{"333300000016 525400123456 86dd 6000000000240001 fe80000000000000505400fffe123456 ff020000000000000000000000000016 3a00050200000100 8f00 0000 0000 0001 04000000 ff0200000000000000000001ff123456",
		"IP6 fe80::5054:ff:fe12:3456 > ff02::16: ICMP6 type 143, code 0, length 28", []string{"icmp6"}},
	{"525400123456 52550a000202 0800 4500002400002001400022bb 0a000202 0a00020f 11223344556677881122334455667788",
		"IP 10.0.2.2 > 10.0.2.15: fragment, length 16", []string{"src 10.0.2.2 and not port 80"}},
	{"525400123456 52550a000202 88b5 0000",
		"52:55:0a:00:02:02 > 52:54:00:12:34:56, ethertype 0x88b5, length 16", []string{"not ip and not ip6 and not arp"}},
	{"525400123456 52550a000202 0800 45", "IP [cut off]", []string{"ip"}},
	{"525400", "[cut off], length 3", nil},
}

func packet(t testing.TB, frame string) *Packet {
	b, err := hex.DecodeString(strings.ReplaceAll(frame, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return &Packet{time.Unix(1700000000, 123456789), len(b), b}
}

func TestPrint(t *testing.T) {
	for i, s := range samples {
		if got := packet(t, s.frame).String(); got != s.text {
			t.Errorf("got  %s\nwant %s", got, s.text)
		}
		for k, other := range samples {
			for _, text := range other.wanted {
				f, err := ParseFilter(strings.Fields(text))
				if err != nil {
					t.Fatal(err)
				}
				if i == k && !f(packet(t, s.frame)) {
					t.Errorf("%q does not want %s", text, s.text)
				}
			}
		}
	}
	for text, want := range map[string]int{"": len(samples), "tcp": 2, "port 80 and src host 10.0.2.15": 1, "arp or tcp and not src 10.0.2.2": 2, "icmp6 or (tcp and dst port 80)": 3, "udp && !port 53": 0, "ip6||arp": 4} {
		f, err := ParseFilter([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range samples {
			if f(packet(t, s.frame)) {
				n++
			}
		}
		if n != want {
			t.Errorf("%q wants %d packets, not %d", text, n, want)
		}
	}
	for _, text := range []string{"foo", "port", "port x", "port 70000", "host nobody", "net 10.0.0.0/33", "tcp and", "(tcp", "tcp)", "tcp udp", "src", "src nobody", "not"} {
		if _, err := ParseFilter([]string{text}); err == nil || !strings.HasPrefix(err.Error(), "filter ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFile: what tcpdump, if it is here, reads of a file is what was written, and what
// it prints begins and ends as ours.
func TestFile(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, MaxSnapLen)
	if err != nil {
		t.Fatal(err)
	}
	const whole = 8 // of the samples it prints as we do, and perhaps more of them
	for _, s := range samples[:whole] {
		if err := w.Write(packet(t, s.frame)); err != nil {
			t.Fatal(err)
		}
	}
	head := "4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000 00f15365 15cd5b07 2a000000 2a000000 ffffffffffff"
	if got := hex.EncodeToString(b.Bytes()); !strings.HasPrefix(got, strings.ReplaceAll(head, " ", "")) {
		t.Errorf("the file begins with %.120s", got)
	}
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "pcap")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tcpdump, "-n", "-S", "-tt", "--nano", "-r", file)
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if err != nil || len(lines) != whole {
		t.Fatalf("tcpdump: %v: %s", err, out)
	}
	for i, s := range samples[:whole] {
		line, ok := strings.CutPrefix(lines[i], "1700000000.123456789 ")
		ours := strings.SplitN(s.text, ", ", 2)[0]
		if !ok || !strings.HasPrefix(strings.Replace(line, "ICMP6,", "ICMP6", 1), strings.Split(ours, ": UDP")[0]) && !strings.Contains(s.text, "143") {
			t.Errorf("got  %s\nwant %s", lines[i], s.text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add(packet(f, s.frame).Bytes)
	}
	all, err := ParseFilter([]string{"not tcp src port 1 and net 10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &Packet{Size: len(b), Bytes: b}
		_ = p.String()
		all(p)
	})
}
