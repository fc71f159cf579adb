// Pseudo-terminals: pty(7), ioctl_tty(2), termios(3).
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <termios.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static int m, s;
static char name[64], buf[200000];
static volatile int signals[65];

static void on_signal(int sig) { signals[sig]++; }

// got reads what there is at an end, and shows it.
static void got(const char *what, int fd) {
	usleep(80000); // Linux hands it over from a work queue, when there is time
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	errno = 0;
	ssize_t n = read(fd, buf, sizeof buf);
	if (n < 0 && errno == EAGAIN) { // or when there is more time
		poll(&(struct pollfd){fd, POLLIN, 0}, 1, 300);
		errno = 0;
		n = read(fd, buf, sizeof buf);
	}
	fcntl(fd, F_SETFL, flags);
	printf("%s: %zd%s", what, n, n < 0 ? errno == EAGAIN ? " EAGAIN" : errno == EIO ? " EIO" : " ?" : "");
	if (n > 0) putchar(' ');
	for (ssize_t i = 0; i < n && i < 100; i++)
		if (buf[i] >= ' ' && buf[i] < 127) putchar(buf[i]);
		else printf("\\%o", buf[i] & 255);
	puts("");
}

static void type(const char *keys) {
	write(m, keys, strlen(keys));
	printf("typed %zu: ", strlen(keys));
	got("echo", m);
}

static int ready(int fd) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI, 0};
	usleep(20000);
	poll(&p, 1, 0);
	return p.revents;
}

static void set(tcflag_t lflag_off, tcflag_t lflag_on) {
	struct termios t;
	tcgetattr(s, &t);
	t.c_lflag = (t.c_lflag & ~lflag_off) | lflag_on;
	SHOW(tcsetattr(s, TCSANOW, &t));
}

static void *reader(void *arg) {
	ssize_t n, sum = 0;
	while (sum < 100000 && (n = read(*(int *)arg, buf, sizeof buf)) > 0) sum += n;
	return (void *)sum;
}

// What termios2 has, in numbers: its header does not go with termios.h.
struct termios2 {
	tcflag_t iflag, oflag, cflag, lflag;
	cc_t line, cc[19];
	speed_t in, out;
};

static void *writer(void *arg) { return (void *)(long)write(s, "late", 4); }

static void flow(void) {
	puts("-- flow control");
	struct termios t;
	tcgetattr(s, &t);
	t.c_iflag |= IXON, t.c_iflag &= ~IXANY;
	tcsetattr(s, TCSANOW, &t);
	write(m, "a\023b", 3);
	got("stopped", m);
	printf("%x\n", ready(s) & POLLOUT);
	fcntl(s, F_SETFL, O_NONBLOCK);
	SHOW(write(s, "x", 1));
	fcntl(s, F_SETFL, 0);
	pthread_t w;
	void *n;
	pthread_create(&w, 0, writer, 0);
	got("still", m);
	write(m, "\021", 1);
	pthread_join(w, &n);
	printf("%ld\n", (long)n);
	got("started", m);
	write(m, "\023", 1);
	write(m, "\003", 1);
	got("a signal's key starts it", m);
	write(m, "\023c", 2);
	got("not any key", m);
	t.c_iflag |= IXANY;
	tcsetattr(s, TCSANOW, &t);
	write(m, "d", 1);
	got("but any with IXANY", m);
	write(m, "\023", 1);
	usleep(300000); // Linux's line discipline sees it in its own time
	t.c_iflag &= ~(IXON | IXANY);
	tcsetattr(s, TCSANOW, &t);
	SHOW(write(s, "on", 2));
	got("IXON off", m);
	write(m, "\023\021\n", 3);
	got("plain keys", m);
	got("a line", s);
	t.c_iflag |= IXON;
	tcsetattr(s, TCSANOW, &t);
	SHOW(tcflow(s, TCOOFF));
	write(m, "\021", 1);
	printf("%x\n", ready(s) & POLLOUT);
	SHOW(tcflow(s, TCOON));
	printf("%x\n", ready(s) & POLLOUT);
	SHOW(tcflow(s, TCIOFF));
	SHOW(tcflow(s, TCION));
	got("XOFF, XON", m);
	SHOW(tcflow(s, 7));

	puts("-- speeds");
	struct termios2 t2;
	SHOW(ioctl(s, 0x802c542a, &t2));
	printf("%u %u %o\n", t2.in, t2.out, t2.cflag);
	t2.cflag = (t2.cflag & ~CBAUD) | 010000, t2.in = 1, t2.out = 12345; // BOTHER
	SHOW(ioctl(s, 0x402c542b, &t2));
	SHOW(ioctl(s, 0x802c542a, &t2));
	printf("%u %u %o\n", t2.in, t2.out, t2.cflag);
	t2.cflag |= 010000 << 16, t2.in = 777;
	SHOW(ioctl(s, 0x402c542c, &t2));
	SHOW(ioctl(s, 0x802c542a, &t2));
	printf("%u %u %o\n", t2.in, t2.out, t2.cflag);
	tcgetattr(s, &t);
	cfsetspeed(&t, B115200);
	t.c_cflag &= ~(CSIZE | CREAD), t.c_cflag |= PARENB;
	SHOW(tcsetattr(s, TCSAFLUSH, &t));
	SHOW(ioctl(s, 0x802c542a, &t2));
	printf("%u %u %o\n", t2.in, t2.out, t2.cflag);
	SHOW(ioctl(s, 0x802c542a, 8));
	SHOW(ioctl(s, 0x402c542d, 8));
}

int main(void) {
	S(close_range, 3, ~0U, 0); // whatever was inherited
	setsid();
	for (int i = 1; i < 65; i++) signal(i, on_signal);
	struct stat st;
	stat("/dev/ptmx", &st);
	printf("%o %x:%x\n", st.st_mode & S_IFMT, major(st.st_rdev), minor(st.st_rdev));
	struct statfs sf;
	SHOW(statfs("/dev/pts", &sf));
	printf("%lx\n", (long)sf.f_type);
	OK(open("/dev/tty", O_RDWR));
	OK(open("/dev/pts/999", O_RDWR));
	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	OK(m);
	unsigned n;
	SHOW(ioctl(m, TIOCGPTN, &n));
	sprintf(name, "/dev/pts/%u", n);
	int lock;
	SHOW(ioctl(m, TIOCGPTLCK, &lock));
	printf("%d\n", lock);
	OK(open(name, O_RDWR | O_NOCTTY));
	SHOW(unlockpt(m));
	printf("%x\n", ready(m));
	got("no slave yet", m);
	s = open(name, O_RDWR | O_NOCTTY);
	OK(s);
	SHOW(isatty(s));
	SHOW(isatty(m));
	SHOW(strcmp(ttyname(s), name));
	fstat(s, &st);
	printf("%o %x %d\n", st.st_mode & S_IFMT, major(st.st_rdev), minor(st.st_rdev) == n);
	SHOW(lseek(s, 0, SEEK_CUR));
	SHOW(pread(s, buf, 1, 0));
	struct termios t;
	SHOW(tcgetattr(s, &t));
	printf("%o %o %o %o", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	for (int i = 0; i < 17; i++) printf(" %d", t.c_cc[i]);
	puts("");
	SHOW(tcgetattr(m, &t));
	printf("%o\n", t.c_lflag);
	struct winsize w;
	SHOW(ioctl(s, TIOCGWINSZ, &w));
	printf("%d %d\n", w.ws_row, w.ws_col);

	puts("-- lines");
	type("hello\r");
	got("slave", s);
	type("two\nlines\n");
	got("slave", s), got("slave", s), got("slave", s);
	type("not yet");
	got("slave", s);
	printf("%x\n", ready(s));
	int k;
	SHOW(ioctl(s, FIONREAD, &k));
	type("\n");
	printf("%x\n", ready(s));
	SHOW(ioctl(s, FIONREAD, &k));
	printf("%d\n", k);
	SHOW(read(s, buf, 3));
	got("the rest", s);
	type("abc\177d\n");
	got("erased", s);
	type("one two\027three\n");
	got("a word erased", s);
	type("gone\025kept\n");
	got("killed", s);
	type("half\004");
	got("pushed", s);
	type("\004");
	got("end of file", s);
	type("tab\tbell\a\n");
	got("slave", s);
	type("\026\003literal\n");
	got("literal next", s);
	SHOW(write(s, "out\nput\n", 8));
	got("master", m);

	puts("-- modes");
	set(ECHO, 0);
	type("secret\n");
	got("slave", s);
	set(ICANON, 0);
	type("ab");
	got("raw", s);
	type("\004\177\n");
	got("raw", s);
	set(0, ECHO);
	type("e\003");
	got("raw", s);
	printf("SIGINT %d\n", signals[SIGINT]);
	tcgetattr(s, &t);
	cfmakeraw(&t);
	SHOW(tcsetattr(s, TCSAFLUSH, &t));
	type("\r\n\003");
	got("rawest", s);
	SHOW(write(s, "a\nb", 3));
	got("master", m);
	t.c_cc[VMIN] = 3;
	tcsetattr(s, TCSANOW, &t);
	type("xy");
	printf("%x\n", ready(s));
	type("z");
	printf("%x\n", ready(s));
	SHOW(read(s, buf, 10));
	t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
	tcsetattr(s, TCSANOW, &t);
	SHOW(read(s, buf, 10));
	type("q");
	SHOW(read(s, buf, 10));
	t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0;
	tcsetattr(s, TCSANOW, &t);
	type("flushed");
	SHOW(tcflush(s, TCIFLUSH));
	got("flushed", s);
	SHOW(tcflush(s, 9));

	puts("-- flow");
	pthread_t th;
	memset(buf, 'x', sizeof buf);
	char *big = malloc(100000);
	memset(big, 'y', 100000);
	pthread_create(&th, 0, reader, &s);
	SHOW(write(m, big, 100000));
	void *sum;
	pthread_join(th, &sum);
	printf("%ld\n", (long)sum);
	pthread_create(&th, 0, reader, &m);
	SHOW(write(s, big, 100000));
	pthread_join(th, &sum);
	printf("%ld\n", (long)sum);

	puts("-- control");
	SHOW(tcgetpgrp(s) == -1 ? -1 : 0);
	w = (struct winsize){24, 80, 640, 480};
	SHOW(ioctl(m, TIOCSWINSZ, &w));
	printf("SIGWINCH %d\n", signals[SIGWINCH]);
	close(s);
	s = open(name, O_RDWR); // which makes it the controlling terminal
	SHOW(tcgetpgrp(s) == getpgrp());
	SHOW(tcgetsid(s) == getsid(0));
	int tty = open("/dev/tty", O_RDWR);
	OK(tty);
	SHOW(ioctl(tty, TIOCGWINSZ, &w));
	printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
	w.ws_col = 100;
	SHOW(ioctl(tty, TIOCSWINSZ, &w));
	SHOW(ioctl(tty, TIOCSWINSZ, &w));
	printf("SIGWINCH %d\n", signals[SIGWINCH]);
	tcgetattr(s, &t);
	t.c_lflag |= ISIG | ICANON | ECHO;
	t.c_iflag |= ICRNL, t.c_oflag |= OPOST;
	tcsetattr(s, TCSANOW, &t);
	type("lost\003");
	got("after SIGINT", s);
	type("\034");
	printf("SIGINT %d SIGQUIT %d\n", signals[SIGINT], signals[SIGQUIT]);

	flow();

	puts("-- packets");
	int on = 1;
	SHOW(ioctl(m, TIOCPKT, &on));
	SHOW(ioctl(m, TIOCGPKT, &on));
	printf("%d\n", on);
	write(s, "data", 4);
	got("packet", m);
	got("packet", m);
	SHOW(tcflush(s, TCIOFLUSH));
	printf("%x\n", ready(m));
	got("flushes", m);
	write(m, "\023", 1);
	got("stopped", m);
	write(m, "\021", 1);
	got("started", m);
	tcgetattr(s, &t);
	t.c_iflag &= ~IXON;
	tcsetattr(s, TCSANOW, &t);
	got("no keys", m);
	t.c_iflag |= IXON;
	tcsetattr(s, TCSANOW, &t);
	got("keys", m);
	on = 0;
	SHOW(ioctl(m, TIOCPKT, &on));

	puts("-- the end");
	int other = open(name, O_RDWR);
	write(s, "last words", 10);
	close(s), close(tty);
	got("master", m);
	printf("%x\n", ready(m));
	close(other);
	printf("%x\n", ready(m));
	got("no slaves", m);
	SHOW(write(m, "x", 1));
	s = open(name, O_RDWR);
	printf("%x\n", ready(m));
	got("again", m);
	close(m);
	printf("SIGHUP %d SIGCONT %d\n", signals[SIGHUP], signals[SIGCONT]);
	printf("%x\n", ready(s));
	SHOW(read(s, buf, 10));
	SHOW(write(s, "x", 1));
	SHOW(ioctl(s, TIOCGWINSZ, &w));
	OK(open("/dev/tty", O_RDWR));
	OK(open(name, O_RDWR));
	close(s);
	SHOW(stat(name, &st));

	m = posix_openpt(O_RDWR | O_NOCTTY);
	SHOW(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	SHOW(unlockpt(m));
	int peer = SHOW(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	SHOW(isatty(peer));
	return 0;
}
