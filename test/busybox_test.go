package test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An applet is a command line of busybox that needs no other process. It runs
// in the fixture of newFixture.
type applet struct {
	line string
	in   string // standard input
	how  int
	want string // where the host's answer is its own: a regular expression for all that is written, and the exit code
}

const (
	unordered = 1 << iota // it lists directories as they come: compare sorted lines
	asRoot                // it shows owners: all files in a VM are root's
)

const poem = "the quick brown fox\njumps over\n\n  the lazy dog\nthe end\n\ttab\ttwo\n"

var applets = []applet{
	{line: "sha256sum text numbers binary"}, {line: "md5sum text binary empty"}, {line: "sha1sum text"}, {line: "sha512sum binary"}, {line: "sha3sum binary"},
	{line: "sha256sum -c sums"}, {line: "cksum text binary"}, {line: "sum binary"}, {line: "crc32 binary"},
	{line: "sort numbers"}, {line: "sort -n -r numbers"}, {line: "sort -u -k2 table"}, {line: "sort", in: poem}, {line: "sort -o sorted numbers"},
	{line: "uniq -c numbers"}, {line: "uniq -d", in: "a\na\nb\n"},
	{line: "wc text numbers binary"}, {line: "wc -l", in: poem}, {line: "head -n 3 text"}, {line: "head -c 100 binary"}, {line: "tail -n 3 text numbers"}, {line: "tail -c +1000 binary"},
	{line: "cut -d , -f 2,3 table"}, {line: "cut -c 2-5", in: poem}, {line: "tr a-z A-Z", in: poem}, {line: "tr -d [:space:]", in: poem}, {line: "tr -cs a-z \\n", in: poem},
	{line: "sed -e s/the/THE/g -e 2d", in: poem}, {line: "sed -n /fox/,/dog/p text"}, {line: "sed -i s/a/b/ text"},
	{line: "awk -F, '{ s += $2; t = t $1 } END { printf \"%d %s %.3f\\n\", s, t, s / 7 }' table"},
	{line: "awk 'BEGIN { print \"written\" > \"out\"; close(\"out\"); getline x < \"out\"; print x, length(x); print ENVIRON[\"HOME\"] }'"},
	{line: "grep -n the", in: poem}, {line: "grep -c -i THE text"}, {line: "grep -r -l fox .", how: unordered}, {line: "grep nothing text"}, {line: "egrep '(fox|dog)$' text"}, {line: "grep x nosuchfile"},
	{line: "find . -type f", how: unordered}, {line: "find . -name '*.gz' -o -type l", how: unordered}, {line: "find tree -depth -print", how: unordered}, {line: "find . -size +2k -mtime +10", how: unordered},
	{line: "find tree -type f -delete -print", how: unordered},
	{line: "ls"}, {line: "ls -a tree"}, {line: "ls -F -R tree"}, {line: "ls -l -n text numbers binary link runme", how: asRoot}, {line: "ls nosuchfile"}, {line: "ls -d tree/deep /proc"},
	{line: "cat text numbers"}, {line: "cat nosuchfile text"}, {line: "cat - text", in: poem}, {line: "cat 'a name with spaces' grüße"}, {line: "cat tree"},
	{line: "cp text copy"}, {line: "cp text /dev/stdout"}, {line: "cp -r tree tree2"}, {line: "cp text nosuchdir/x"}, {line: "cp tree x"}, {line: "cp -a tree link tree2/"},
	{line: "mv text moved"}, {line: "mv nosuchfile x"}, {line: "mv tree text"}, {line: "mv text tree/deep/"},
	{line: "rm text link"}, {line: "rm nosuchfile"}, {line: "rm tree"}, {line: "rm -r tree"}, {line: "rm -f nosuchfile"},
	{line: "mkdir new"}, {line: "mkdir text"}, {line: "mkdir nosuchdir/new"}, {line: "mkdir -p a/b/c"}, {line: "rmdir tree"}, {line: "rmdir empty"}, {line: "rmdir tree/hollow"},
	{line: "ln text hard"}, {line: "ln -s text soft"}, {line: "ln -s text link"}, {line: "ln nosuchfile x"}, {line: "readlink link"}, {line: "readlink -f tree/deep/up"}, {line: "readlink text"}, {line: "realpath tree/../link"},
	{line: "stat -c '%n %s %a %F %Y %h' text binary runme empty"}, {line: "stat -c '%N %F' link"}, {line: "stat -c '%u %g %A' text tree", how: asRoot}, {line: "stat nosuchfile"}, {line: "stat -c %F /dev/null /dev/zero tree"},
	{line: "touch fresh text"}, {line: "touch nosuchdir/x"}, {line: "chmod 0600 text"}, {line: "chmod 755 nosuchfile"}, {line: "truncate -s 100 text"}, {line: "unlink text"}, {line: "mkfifo pipe"}, {line: "mktemp -u -p . nameXXXXXX.x"},
	{line: "dd if=binary bs=100 skip=3 count=5 status=none"}, {line: "dd if=/dev/zero bs=1024 count=4 status=none"}, {line: "dd of=out bs=3 status=none", in: poem}, {line: "dd if=nosuchfile"},
	{line: "od -A x -t x1z binary"}, {line: "od -c", in: poem}, {line: "hexdump -C binary"}, {line: "xxd text"}, {line: "xxd -r -p", in: "68656c6c6f0a"},
	{line: "expr 6 '*' 7"}, {line: "expr length hello"}, {line: "expr 1 / 0"}, {line: "test -f text"}, {line: "test -d text"}, {line: "test -x runme -a -L link"}, {line: "[ a = a ]"}, {line: "[ 3 -lt 2 ]"},
	{line: "printf '%s %05d %x\\n' text 42 255"}, {line: "echo -e 'a\\tb' c"}, {line: "seq 1 3 20"}, {line: "seq 1000 -7 1"}, {line: "tac text"}, {line: "rev", in: poem}, {line: "fold -w 7", in: poem}, {line: "nl text"},
	{line: "paste -d : text numbers"}, {line: "cmp text text"}, {line: "cmp text numbers"}, {line: "diff text text"}, {line: "diff -u text text2"}, {line: "diff -r tree tree"},
	{line: "base64 binary"}, {line: "base64 -d", in: "aGVsbG8K"}, {line: "uuencode -m name", in: poem}, {line: "factor 360 97 1000000016000000063"}, {line: "bc", in: "2^100\nscale=20; 1/7\n"}, {line: "dc -e '2 64 ^ p'"},
	{line: "gzip -c text"}, {line: "gzip text"}, {line: "gunzip -c text.gz"}, {line: "bzip2 -c text"}, {line: "bunzip2 -c text.bz2"}, {line: "xz -d -c text.xz"}, {line: "unlzma -c text.lzma"}, {line: "gunzip -c text"},
	{line: "tar tvf tree.tar", how: asRoot}, {line: "tar xvf tree.tar"}, {line: "tar xOf tree.tar t/b/c"}, {line: "tar cf - text numbers", how: asRoot}, {line: "tar xvf text"}, {line: "cpio -t", in: "tree.cpio"}, {line: "cpio -idv", in: "tree.cpio"}, {line: "unzip -p tree.zip"}, {line: "unzip tree.zip"},
	{line: "date -u -d @1000000000"}, {line: "date -u -d '2024-02-29 12:34:56' +%j.%s.%A"}, {line: "date -d nonsense"}, {line: "cal 2 2024"}, {line: "cal 1752"},
	{line: "env"}, {line: "id", how: asRoot}, {line: "whoami", how: asRoot}, {line: "uname -s -m"}, {line: "basename /a/b.c .c"}, {line: "dirname /a/b/c"}, {line: "pwd"},
	{line: "expand -t 4", in: poem}, {line: "unexpand -a", in: "        eight\n"}, {line: "split -l 3 text part"}, {line: "strings binary"}, {line: "tee copy copy2", in: poem}, {line: "true"}, {line: "false"}, {line: "usleep 1000"}, {line: "sleep 0.01"},
	{line: "dos2unix", in: "a\r\nb\r\n"}, {line: "ts x", in: ""}, {line: "shuf -n 1 -i 5-5"}, {line: "ed text", in: "1,2p\n/dog/s//cat/p\nw\nq\n"}, {line: "patch text", in: "--- text\n+++ text\n@@ -1,2 +1,2 @@\n the quick brown fox\n-jumps over\n+sits under\n"},
	{line: "ipcalc -n 10.1.2.3/20"}, {line: "getopt -o ab: -- -a -b c d"}, {line: "mkpasswd -m sha512 -S saltsalt password"}, {line: "ascii"}, {line: "nosuchapplet"}, {line: "less text"}, {line: "more text"}, {line: "cat /proc/self/cmdline"},
	{line: "[[ a = a && 3 -gt 2 ]]"}, {line: "arch"}, {line: "ash -c 'f() { local y=$1; echo $((y * y)); }; f 12; echo ${HOME#/} ${x:-none}; case abc in a*) echo yes;; esac'"},
	{line: "ar t tree.deb"}, {line: "ar p tree.deb debian-binary"}, {line: "ar xv tree.deb"}, {line: "ar t text"}, {line: "dpkg-deb -c tree.deb"}, {line: "dpkg-deb -X tree.deb new"}, {line: "dpkg-deb -c text"},
	{line: "rpm -qpi tree.rpm"}, {line: "rpm -qpl tree.rpm"}, {line: "rpm -qpi text"}, {line: "rpm2cpio text"},
	{line: "bzcat text.bz2"}, {line: "bzip2 -t text.bz2"}, {line: "xzcat text.xz"}, {line: "unxz text.xz"}, {line: "xz -t text.xz"}, {line: "lzcat text.lzma"}, {line: "lzma -d -c text.lzma"}, {line: "uncompress text.Z"}, {line: "uncompress -c text.Z"},
	{line: "lzop -c text"}, {line: "lzop -dc text.lzo"}, {line: "lzop -t text"}, {line: "unlzma -t text.xz"},
	{line: "busybox"}, {line: "busybox --list"}, {line: "busybox wc -c text"}, {line: "busybox nosuchapplet"},
	{line: "chmod -v 640 text binary"}, {line: "chmod -R -c a+X,go-r tree", how: unordered}, {line: "chown -v 12:34 text nosuchfile", how: asRoot}, {line: "chown -R -c 1:1 tree", how: asRoot | unordered}, {line: "chgrp -v 7 text", how: asRoot}, {line: "chgrp nosuchgroup text"},
	{line: "chroot nosuchdir"}, {line: "clear"}, {line: "reset"},
	{line: "depmod -n -b modules 1.0.0"}, {line: "insmod nosuchfile.ko"},
	{line: "df -P /proc"}, {line: "df nosuchfile"}, {line: "df", want: "(?m)^\\S+ +\\d+ +\\d+ +\\d+ +\\d+% /$"}, {line: "df -i /", want: "(?m) [1-9]\\d* +\\d+ +[1-9]\\d* +\\d+% /$"}, {line: "du -s empty"}, {line: "du -a tree", want: "8\ttree/deep/deeper/x\n(.*\n)+36\ttree\n0$"}, {line: "du nosuchfile"},
	{line: "dmesg", want: "^0$"}, {line: "dumpleases -f empty"}, {line: "dumpleases -f nosuchfile"},
	{line: "fallocate -l 5000 text"}, {line: "fallocate -o 10000 -l 1 fresh"}, {line: "fallocate -l 0 fresh"}, {line: "truncate -s +5 -c nosuchfile"},
	{line: "fatattr text"}, {line: "freeramdisk text"}, {line: "partprobe text"}, {line: "blkdiscard text"}, {line: "blockdev --getsize64 text"}, {line: "fsfreeze --freeze nosuchdir"}, {line: "fstrim nosuchdir"}, {line: "findfs LABEL=nosuchlabel"},
	{line: "fdisk -l disk"}, {line: "fdisk disk", in: "n\np\n3\n600\n700\nt\n3\n82\np\nw\n"}, {line: "fdisk -l text"}, {line: "fdisk -l nosuchfile"},
	{line: "fgrep -n o. text"}, {line: "fgrep -x -f text2 text"},
	{line: "free", want: "^ +total .*\nMem: +[1-9]\\d+ .*\nSwap: +0 +0 +0\n0$"}, {line: "hostname", want: "^gosv\n0$"}, {line: "hostid", want: "^[0-9a-f]{8}\n0$"}, {line: "nproc", want: "^1\n0$"}, {line: "uptime", want: "up \\d+ min,  0 users?,  load average: "},
	{line: "groups", how: asRoot}, {line: "id -u -n", how: asRoot}, {line: "logname", want: "^logname: getlogin: .*\n1$"}, {line: "who", want: "^0$"}, {line: "who -H", want: "^USER\t.*\n0$"}, {line: "w", want: "^USER\t.*\n0$"}, {line: "last", want: "^last: can't open '/var/log/wtmp': No such file or directory\n1$"},
	{line: "httpd -d a%20b%2fc+d"}, {line: "httpd -e 'a b<c>'"}, {line: "ionice"}, {line: "kill -l"}, {line: "kill -l 9 143"}, {line: "kill -9 nosuchpid"}, {line: "kill -0 4194305"}, {line: "killall -l"}, {line: "killall nosuchname"}, {line: "pidof nosuchname"}, {line: "pidof busybox", want: "^1\n0$"},
	{line: "sh -c 'kill -l 15; umask 027; umask; ulimit -n 77; ulimit -n; type cd nosuch'"},
	{line: "link text hard"}, {line: "link nosuchfile hard"}, {line: "unlink nosuchfile"}, {line: "ln -v -f -s tree/one link"}, {line: "mkdir -v -m 700 new new/x"}, {line: "rmdir -p tree/hollow"}, {line: "mkfifo -m 600 text"}, {line: "mknod pipe p"}, {line: "mknod null c 1 3", how: asRoot}, {line: "mknod text p"}, {line: "nuke tree text nosuchfile"}, {line: "mv -n text text2"}, {line: "cp -v -i text text2", in: "n\n"},
	{line: "logger -s -t me some words"}, {line: "ls -l -n -i -s -h --full-time nosuchfile"}, {line: "losetup nosuchfile"}, {line: "mkdosfs -n LABEL disk"}, {line: "mkdosfs text"}, {line: "mke2fs -F -L label -b 1024 disk"}, {line: "mke2fs -n text"}, {line: "mkswap disk", want: "^Setting up swapspace version 1, size = 1044480 bytes\nUUID=[-0-9a-f]{36}\n0$"}, {line: "mkswap text"},
	{line: "mount", want: "(?m)^\\S+ on / type \\S+ \\(rw\\b"}, {line: "mountpoint /proc"}, {line: "mt -f text status"}, {line: "swapon nosuchfile"},
	{line: "ps -o pid,comm,args", want: "^PID +COMMAND +COMMAND\n +1 busybox +\\S*busybox ps -o pid,comm,args\n0$"}, {line: "top -b -n 1", want: "(?s)^Mem: .*CPU: .*\n +1 +0 (root|0) +R .*busybox top -b -n 1\n+0$"}, {line: "renice -n 5 -p 1", want: "^0$"}, {line: "taskset -p 1", want: "^pid 1's current affinity mask: 1\n0$"}, {line: "setpriv --dump", want: "(?m)^uid: 0\n"},
	{line: "renice 3 nosuchpid"}, {line: "taskset -p nosuchpid"}, {line: "run-parts --test tree"}, {line: "run-parts nosuchdir"}, {line: "shred -n 1 -z -s 100 -u text"}, {line: "shred nosuchfile"}, {line: "start-stop-daemon -K -n nosuchname"}, {line: "start-stop-daemon -K -t -n nosuchname"}, {line: "svok nosuchdir"}, {line: "svc -u nosuchdir"},
	{line: "stty -a"}, {line: "stty -F nosuchfile"}, {line: "tty"}, {line: "tty -s"}, {line: "sync"}, {line: "sync -d text nosuchfile"}, {line: "sysctl -n kernel.ostype"}, {line: "sysctl kernel.nosuchkey"}, {line: "uname -o"},
	{line: "unix2dos", in: poem}, {line: "unix2dos text"}, {line: "uudecode -o /dev/stdout", in: "begin 644 x\n%:&5L;&\\\n`\nend\n"}, {line: "uudecode", in: "begin-base64 644 out\naGVsbG8K\n====\n"}, {line: "uudecode", in: "nothing\n"},
	{line: "vi -c :%s/fox/cat/ -c :wq text"}, {line: "which ./runme ./text nosuchprogram"}, {line: "xargs -n 1 -t echo", in: "a 'b c'\nd\\ e\n"}, {line: "xargs -r cat", in: ""}, {line: "xargs -I X echo [X]", in: "text\nno such file\n"}, {line: "find tree -name '[ot]*' -exec echo {} ;", how: unordered}, {line: "find tree -type d -exec touch {}/new ;"}, {line: "sh -c 'ulimit -f 8; while echo 0123456789012345678901234567890123456789; do :; done > out'"},
	{line: "sh -c 'x=3; while [ $x -gt 0 ]; do echo $x; x=$((x-1)); done; cd tree; pwd; echo *; exit 9'"}, {line: "sh", in: "echo from stdin\necho got it > out\nread back < out\necho $back\nkill -TERM $$\n"},
	{line: "sh -c 'trap \"echo caught\" USR1; kill -USR1 $$; echo after; set -e; false; echo never'"}, {line: "sh -c 'echo to stderr >&2; exec 3>f; echo three >&3; exec 3<f; read x <&3; echo $x'"},
}

// notCompared says of the applets without a line above why that is so.
var notCompared = map[string]string{
	"they run other programs, or copies of themselves": "crond crontab cttyhack getty init linux32 linux64 linuxrc login mim nologin nsenter openvt run-init setsid su sulogin switch_root time timeout " +
		"unshare watch watchdog zcat",
	"the network": "arp arping brctl dnsdomainname ftpget ftpput ifconfig ifdown ifup ip ipneigh nameif nc netstat nslookup ping ping6 rdate route " +
		"ssl_client tc telnet telnetd tftp traceroute traceroute6 tunctl udhcpc udhcpd uevent vconfig wget",
	"hardware": "acpid adjtimex chvt deallocvt devmem dumpkmap hwclock i2cdetect i2cdump i2cget i2cset i2ctransfer loadfont loadkmap lsscsi mdev " +
		"microcom setkeycodes ubirename",
	"they would change the host":                    "halt passwd pivot_root poweroff reboot resume umount swapoff",
	"kernel modules, of which there are none":       "lsmod modinfo modprobe rmmod",
	"a system log, for which nobody listens":        "klogd logread syslogd",
	"Debian's list of packages is not in the image": "dpkg",
	"it does not end":                               "yes",
}

// TestBusyboxApplets: every applet is above.
func TestBusyboxApplets(t *testing.T) {
	t.Parallel()
	compared := make(map[string]bool)
	for _, a := range applets {
		compared[words(a.line)[0]] = true
	}
	excused := make(map[string]bool)
	for _, names := range notCompared {
		for name := range strings.FieldsSeq(names) {
			excused[name] = true
		}
	}
	n := 0
	for name := range strings.FieldsSeq(runHost(t, options{}, busybox(t), "--list").stdout) {
		switch {
		case compared[name] && excused[name]:
			t.Errorf("%s is compared: nothing to excuse", name)
		case compared[name]:
			n++
		case !excused[name]:
			t.Logf("%s: this busybox has it, and nothing here tries it", name)
		}
	}
	if n < 150 {
		t.Errorf("%d applets are compared, want 150", n)
	}
	t.Logf("%d applets are compared, %d are not", n, len(excused))
}

func TestBusybox(t *testing.T) {
	t.Parallel()
	for _, a := range applets {
		t.Run(a.line, func(t *testing.T) {
			t.Parallel()
			if a.how&asRoot != 0 && os.Getuid() != 0 {
				t.Skip("SKIPPED: it shows the owners of files, and all files in a VM are root's: run the tests as root")
			}
			dir := newFixture(t)
			in := []byte(a.in)
			if strings.HasSuffix(a.in, ".cpio") {
				var err error
				if in, err = os.ReadFile(filepath.Join(dir, a.in)); err != nil {
					t.Fatal(err)
				}
			}
			o := options{stdin: in, dir: dir, env: []string{"TZ=UTC"}}
			inVM := o
			inVM.flags = []string{"-v", dir + ":" + dir}
			args := words(a.line)
			vm := run(t, microvm, inVM, busybox(t), args...) // first: the host's changes the files
			if a.want != "" {
				all := vm.stdout + vm.stderr + strconv.Itoa(vm.code)
				if !regexp.MustCompile(a.want).MatchString(all) {
					t.Errorf("%v\nwant %q to match", vm, a.want)
				}
				return
			}
			host := runHost(t, o, busybox(t), args...)
			if a.how&unordered != 0 {
				vm.stdout, host.stdout = sorted(vm.stdout), sorted(host.stdout)
			}
			if args[0] == "mktemp" { // random
				vm.stdout, host.stdout = strconv.Itoa(len(vm.stdout)), strconv.Itoa(len(host.stdout))
			}
			compare(t, vm, host)
		})
	}
}

// newFixture makes a directory of files for commands to work on.
func newFixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := make([]byte, 10_000)
	x := uint32(1)
	for i := range binary {
		x = x*1664525 + 1013904223
		binary[i] = byte(x >> 24)
	}
	copy(binary[5000:], "a string among the bytes")
	var numbers strings.Builder
	for i := range 200 {
		numbers.WriteString(strconv.Itoa(i*7919%100) + "\n" + strings.Repeat("11\n", i%3))
	}
	files := map[string]string{
		"text":                               poem + strings.Repeat("the fox and the dog\n", 10),
		"text2":                              strings.Replace(poem, "lazy", "busy", 1),
		"numbers":                            numbers.String(),
		"table":                              "one,1,x\ntwo,2,y\nthree,3,z\none,4,x\n",
		"binary":                             string(binary),
		"empty":                              "",
		"runme":                              "not really a program\n",
		"a name with spaces":                 "spaces\n",
		"grüße":                              "umlauts\n",
		"sums":                               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n0000000000000000000000000000000000000000000000000000000000000000  text\n",
		"tree/one":                           "1\n",
		"tree/two":                           "2\n",
		"tree/deep/deeper/x":                 strings.Repeat("x", 5000),
		"tree/hollow/.hidden":                "",
		"disk":                               diskImage(),
		"modules/lib/modules/1.0.0/leaf.ko":  "\x00license=GPL\x00depends=trunk\x00alias=green\x00",
		"modules/lib/modules/1.0.0/trunk.ko": "\x00license=GPL\x00depends=\x00",
	}
	for _, name := range []string{"text.gz", "text.bz2", "text.xz", "text.lzma", "text.lzo", "text.Z", "tree.tar", "tree.zip", "tree.cpio", "tree.deb", "tree.rpm"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Unix(1_600_000_000, 0)
	for _, err := range []error{
		os.Remove(filepath.Join(dir, "tree/hollow/.hidden")),
		os.Chmod(filepath.Join(dir, "runme"), 0o755),
		os.Symlink("text", filepath.Join(dir, "link")),
		os.Symlink("../../text", filepath.Join(dir, "tree/deep/up")),
		filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				err = os.Chtimes(path, then, then)
			}
			return err
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// diskImage returns a disk of 1 MiB with two partitions.
func diskImage() string {
	b := make([]byte, 1<<20)
	for i, p := range []struct{ typ, start, n byte }{{0x83, 63, 200}, {0x0c, 100, 90}} {
		e := b[446+16*i:]
		e[4], e[8], e[12] = p.typ, p.start, p.n
		e[9], e[13] = byte(i), byte(i) // of 256 sectors
	}
	b[510], b[511] = 0x55, 0xaa
	return string(b)
}

// words splits a line at spaces, but for what is in single quotes.
func words(line string) []string {
	var out []string
	var word bytes.Buffer
	quoted, in := false, false
	for _, c := range []byte(line) {
		switch {
		case c == '\'':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

func sorted(s string) string {
	lines := strings.SplitAfter(s, "\n")
	sort.Strings(lines)
	return strings.Join(lines, "")
}
