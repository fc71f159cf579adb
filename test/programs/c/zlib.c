// zlib DIRECTORY: data of several kinds through levels and strategies and back,
// in pieces, damaged, and as files of gzip.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { SIZE = 300000 };
static unsigned char data[SIZE], packed[2 * SIZE], back[SIZE];

static void fill(int kind) {
	static const char *words[] = {"the ", "quick ", "brown ", "fox ", "jumps\n"};
	unsigned x = kind + 1;
	size_t n = 0;
	while (n < SIZE) {
		x = x * 1664525 + 1013904223;
		switch (kind) {
		case 0: data[n++] = 0; break;
		case 1: data[n++] = x >> 24; break;
		case 2: data[n++] = (x >> 24) % 4 + 'a'; break;
		default:
			for (const char *w = words[(x >> 24) % 5]; *w && n < SIZE; w++) data[n++] = *w;
		}
	}
}

static void check(const char *what, int err, int want) {
	if (err != want) printf("%s: %d, not %d\n", what, err, want);
}

// deflates in pieces of step bytes, and back in other pieces.
static void stream(int kind, int level, int strategy, int bits, unsigned step) {
	z_stream z = {0};
	check("deflateInit2", deflateInit2(&z, level, Z_DEFLATED, bits, 9, strategy), Z_OK);
	z.next_in = data, z.next_out = packed, z.avail_out = sizeof packed;
	for (size_t at = 0; at < SIZE; at += step) {
		z.avail_in = at + step < SIZE ? step : SIZE - at;
		check("deflate", deflate(&z, at / step % 7 == 6 ? Z_FULL_FLUSH : Z_NO_FLUSH), Z_OK);
	}
	check("deflate", deflate(&z, Z_FINISH), Z_STREAM_END);
	unsigned long n = z.total_out;
	deflateEnd(&z);
	memset(&z, 0, sizeof z), memset(back, 0xff, sizeof back);
	check("inflateInit2", inflateInit2(&z, bits), Z_OK);
	z.next_in = packed, z.next_out = back;
	int err = Z_OK;
	while (err == Z_OK) {
		if (!z.avail_in) z.avail_in = n - z.total_in < 777 ? n - z.total_in : 777;
		if (!z.avail_out) z.avail_out = SIZE - z.total_out < 1001 ? SIZE - z.total_out : 1001;
		err = inflate(&z, Z_SYNC_FLUSH);
		if (err == Z_BUF_ERROR && z.total_in < n) err = Z_OK;
	}
	printf("kind %d level %d strategy %d bits %d: %lu bytes, crc %08lx, back %d %lu %s\n", kind, level, strategy, bits, n,
		crc32(0, packed, n), err, z.total_out, memcmp(data, back, SIZE) ? "DIFFERENT" : "same");
	inflateEnd(&z);
}

static void files(void) {
	static const char name[] = "file.gz";
	char line[200];
	gzFile f = gzopen(name, "wb6");
	for (int i = 0; i < 2000; i++) gzprintf(f, "line %d of a file\n", i);
	check("gzclose", gzclose(f), Z_OK);
	f = gzopen(name, "ab");
	gzputs(f, "appended\n");
	check("gzclose", gzclose(f), Z_OK);
	f = gzopen(name, "rb");
	unsigned long crc = 0;
	int lines = 0;
	while (gzgets(f, line, sizeof line)) crc = crc32(crc, (Bytef *)line, strlen(line)), lines++;
	printf("%d lines, crc %08lx, last: %s", lines, crc, line);
	gzclose(f);
	f = gzopen(name, "rb");
	printf("seek %ld\n", (long)gzseek(f, 5000, SEEK_SET));
	gzgets(f, line, sizeof line);
	printf("at 5000: %s", line);
	printf("tell %ld eof %d direct %d\n", (long)gztell(f), gzeof(f), gzdirect(f));
	gzclose(f);
	truncate(name, 3000);
	f = gzopen(name, "rb");
	while (gzgets(f, line, sizeof line)) {}
	int err;
	puts(gzerror(f, &err));
	printf("truncated: error %d, close %d\n", err, gzclose(f));
	unlink(name);
	printf("no file: %p\n", (void *)gzopen(name, "rb"));
}

int main(int argc, char **argv) {
	printf("zlib %s\n", zlibVersion());
	if (argc != 2 || chdir(argv[1])) return 99;
	for (int kind = 0; kind < 4; kind++) {
		fill(kind);
		printf("crc %08lx adler %08lx\n", crc32(0, data, SIZE), adler32(1, data, SIZE));
		for (int level = 0; level <= 9; level += 3) stream(kind, level, Z_DEFAULT_STRATEGY, 15, 5000);
		for (int strategy = Z_FILTERED; strategy <= Z_FIXED; strategy++) stream(kind, 5, strategy, -12, 40000);
		stream(kind, 6, Z_DEFAULT_STRATEGY, 15 + 16, 123);
	}
	uLongf n = compressBound(SIZE), m = SIZE;
	check("compress2", compress2(packed, &n, data, SIZE, 9), Z_OK);
	packed[n / 2] ^= 1;
	printf("damaged: %d\n", uncompress(back, &m, packed, n));
	packed[n / 2] ^= 1, m = SIZE - 1;
	printf("too small: %d\n", uncompress(back, &m, packed, n));
	printf("short: %d\n", uncompress(back, &m, packed, n - 4));
	files();
	return 0;
}
