package test

import (
	"debug/elf"
	"os/exec"
	"strings"
	"testing"
)

// TestJailer: Firecracker in a jail is another user, sees nothing but what it needs, has a
// network, and leaves nothing behind, killed or not.
func TestJailer(t *testing.T) {
	t.Parallel()
	jailer, err := exec.LookPath("jailer")
	if err != nil {
		t.Skip("SKIPPED: no jailer on the PATH: it comes with Firecracker's releases")
	}
	b := newBox(t, "firecracker")
	path, _ := exec.LookPath("firecracker")
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Skipf("SKIPPED: %s needs shared libraries, which are not in a jail; that of Firecracker's releases needs none", path)
		}
	}
	b.files = append(b.files, jailer+":/usr/bin/jailer")
	img := t.TempDir() + "/httpd.img"
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	hello, web := b.add(cProgram(t, musl, "hello")), b.add(img)
	run := "./gosv run --vmm firecracker --firecracker-cpu-config /box/cpu.json --jailer"
	out := b.run(t, 150, strings.Join([]string{
		// A root that pivot_root(2), which the jailer calls, can change: an initramfs is none.
		"mkdir /new; mount -t tmpfs new /new; cp -a /bin /box /usr /etc /lib* /new/ 2>/dev/null",
		"cd /new; mkdir -p proc sys dev tmp run; mount -t proc proc proc; mount -t sysfs sys sys; mount --bind /dev dev",
		"cat >/new/box/inside <<'END'",
		"cd /box; export HOME=/tmp",
		run + " " + hello,
		run + " --root disk " + hello,
		run + "=1234:1235 -p 8080:80 " + web + " >/dev/null 2>/tmp/err & gosv=$!",
		"for i in $(seq 100); do wget -q -O - http://127.0.0.1:8080/ 2>/dev/null && break; sleep 0.1; done",
		"cd /proc; for p in [0-9]*; do grep -q '^Name:.firecracker' $p/status 2>/dev/null && awk '/^[UG]id/ { print $1, $2, $3, $4 }' $p/status && ls -1 $p/root/; done; cd /box",
		"kill -9 $gosv; for i in $(seq 100); do ps | grep -q '[f]irecracker' || break; sleep 0.1; done; ps | grep -c '[f]irecracker'",
		"./gosv ps; ls /tmp; ip link | grep -c tap; mount | grep -c jail; exit 0",
		"END",
		"exec chroot /new sh /box/inside",
	}, "\n"))
	want := "hello, world\nhello, world\nHello from gosv\nUid: 1234 1234 1234\nGid: 1235 1235 1235\n" +
		"app.img\ncpu.json\ndev\nfirecracker\nfirecracker.json\nfirecracker.pid\nkernel.elf\nrun\n" + "0\nNAME   PROGRAM   VMM   STATUS   PORTS\nerr\n0\n0\n"
	if got := strings.ReplaceAll(out, "\r", ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
