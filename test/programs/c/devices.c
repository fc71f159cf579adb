// devices write SEED KIND... gives the host data by a device of each kind, all at once;
// devices read 0 KIND... takes it from there, as it is there. It prints the sums of them. The host's
// side, and what goes by each device, is test/programs/devices.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>
#include "diskwork.h"

static int reads;
static unsigned seed;

struct job {
	const char *kind;
	pthread_t thread;
	char said[200];
};

static void disk(struct job *j, const char *path) {
	struct diskwork w = {.path = path, .seed = seed};
	diskwork(&w);
	sprintf(j->said, "%llu bytes: %08x %08x %08x %08x", (unsigned long long)w.size, w.sums[0], w.sums[1], w.sums[2], w.sums[3]);
}

static void blk(struct job *j) { disk(j, "/dev/vda"); }
static void scsi(struct job *j) { disk(j, "/dev/sda"); }

static void give(int fd, const void *p, size_t n) {
	for (ssize_t k; n > 0; p = (const char *)p + k, n -= k)
		if ((k = write(fd, p, n)) <= 0) fail("write");
}

static void take(int fd, void *p, size_t n) {
	for (ssize_t k; n > 0; p = (char *)p + k, n -= k)
		if ((k = read(fd, p, n)) <= 0) fail("read");
}

// A stream is so many pieces. The host answers each with a byte: QEMU drops what its reader is too
// slow for. Before it sends, it waits for one.
static void stream(struct job *j, int fd, int pieces, size_t size) {
	unsigned char *buf = malloc(size), answer = 'r';
	unsigned s = 0;
	if (reads) give(fd, &answer, 1);
	for (int i = 0; i < pieces; i++) {
		if (reads) take(fd, buf, size);
		else {
			pattern(buf, size, (uint64_t)i * size, seed);
			give(fd, buf, size);
			take(fd, &answer, 1);
		}
		s = sum(s, buf, size);
	}
	sprintf(j->said, "%zu bytes: %08x", pieces * size, s);
}

static void console(struct job *j) {
	int fd = open("/dev/hvc0", O_RDWR);
	if (fd < 0) fail("/dev/hvc0");
	stream(j, fd, 12, 16 << 10);
}

static void vsock(struct job *j) {
	struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1024};
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);
	if (s < 0 || connect(s, (void *)&a, sizeof a)) fail("vsock");
	stream(j, s, 4, 100 << 10);
	if (shutdown(s, SHUT_WR)) fail("shutdown");
	char c;
	if (read(s, &c, 1) != 0) fail("the stream's end");
	close(s);
}

// Frames of all sizes, with an answer after some, so that none is lost. What they consist of is
// behind a header of 15 bytes, whose last says who sends what.
enum { frames = 200, window = 8, protocol = 0x88b5, header = 15, smallest = 60, largest = 1514 };

static void send_frame(int s, unsigned char *frame, size_t n, const unsigned char *mac, char kind) {
	memcpy(frame, "\x02host\1", 6);
	memcpy(frame + 6, mac, 6);
	frame[12] = protocol >> 8, frame[13] = protocol & 0xff, frame[14] = kind;
	if (write(s, frame, n) != (ssize_t)n) fail("a frame");
}

static size_t next_frame(int s, unsigned char *frame) {
	for (;;) {
		struct sockaddr_ll from;
		socklen_t size = sizeof from;
		struct pollfd p = {s, POLLIN};
		if (poll(&p, 1, 60000) != 1) fail("no frame comes");
		ssize_t n = recvfrom(s, frame, largest, 0, (void *)&from, &size);
		if (n < smallest) fail("recvfrom");
		if (from.sll_pkttype != PACKET_OUTGOING) return n;
	}
}

static void net(struct job *j) {
	unsigned char frame[largest], mac[6];
	int s = socket(AF_PACKET, SOCK_RAW, htons(protocol));
	struct ifreq r = {.ifr_name = "eth0"};
	if (s < 0 || ioctl(s, SIOCGIFINDEX, &r)) fail("eth0");
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = r.ifr_ifindex};
	if (bind(s, (void *)&at, sizeof at) || ioctl(s, SIOCGIFHWADDR, &r)) fail("eth0");
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	unsigned long total = 0;
	unsigned x = 0;
	if (reads) send_frame(s, frame, smallest, mac, 'r');
	for (int i = 0; i < frames; i++) {
		size_t n = smallest + i * 37 % (largest - smallest + 1);
		if (reads) n = next_frame(s, frame);
		else {
			pattern(frame + header, n - header, total, seed);
			send_frame(s, frame, n, mac, 'w');
		}
		x = sum(x, frame + header, n - header), total += n - header;
		if (i % window < window - 1) continue;
		if (reads) send_frame(s, frame, smallest, mac, 'a');
		else next_frame(s, frame);
	}
	sprintf(j->said, "%lu bytes: %08x", total, x);
}

static void rng(struct job *j) {
	enum { size = 3000 };
	static unsigned char got[size];
	char a[64] = {0}, b[64] = {0};
	struct stat st;
	int fd = open("/dev/hwrng", O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) fail("/dev/hwrng");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != (10 << 8 | 183)) fail("/dev/hwrng is something else");
	if (open("/dev/hwrng", O_WRONLY) >= 0 || errno != EINVAL) fail("/dev/hwrng can be opened to be written");
	for (int i = 0; i < size;) {
		ssize_t k = read(fd, got + i, size - i < 300 ? size - i : 300);
		if (k <= 0) fail("read");
		i += k;
	}
	if (getrandom(a, sizeof a, 0) != sizeof a || getrandom(b, sizeof b, GRND_RANDOM) != sizeof b || !memcmp(a, b, sizeof a)) fail("getrandom");
	sprintf(j->said, "%d bytes: %08x", size, sum(0, got, size));
}

static const struct {
	const char *kind;
	void (*move)(struct job *);
} kinds[] = {{"blk", blk}, {"scsi", scsi}, {"console", console}, {"vsock", vsock}, {"net", net}, {"rng", rng}};

static void *work(void *arg) {
	struct job *j = arg;
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].kind, j->kind)) kinds[i].move(j);
	return 0;
}

int main(int argc, char **argv) {
	reads = !strcmp(argv[1], "read");
	seed = atoi(argv[2]);
	struct job jobs[argc];
	for (int i = 3; i < argc; i++) {
		jobs[i].kind = argv[i], jobs[i].said[0] = 0;
		if (pthread_create(&jobs[i].thread, 0, work, &jobs[i])) fail("pthread_create");
	}
	for (int i = 3; i < argc; i++) {
		pthread_join(jobs[i].thread, 0);
		printf("%s %s\n", jobs[i].kind, jobs[i].said);
	}
	return 0;
}
