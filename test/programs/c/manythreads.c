// manythreads N ROUNDS: N threads at once that wait for each other, then threads
// one after the other, ROUNDS of them.
#include "tell.h"
#include <pthread.h>

static pthread_barrier_t barrier;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long sum;
static int go;

static void *member(void *arg) {
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&mutex);
	sum += (long)arg;
	while (!go) pthread_cond_wait(&cond, &mutex);
	sum++;
	pthread_mutex_unlock(&mutex);
	pthread_barrier_wait(&barrier);
	return arg;
}

static void *one(void *arg) {
	return (char *)arg + 1;
}

static long kernel_memory(void) {
	char line[200];
	long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "MemFree: %ld", &kib) == 1) break;
	fclose(f);
	return kib;
}

int main(int argc, char **argv) {
	if (argc < 3) return 99;
	long n = atol(argv[1]), rounds = atol(argv[2]);
	pthread_t *t = calloc(n, sizeof *t);
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 16384);
	pthread_barrier_init(&barrier, 0, n + 1);
	for (long i = 0; i < n; i++) {
		int e = pthread_create(&t[i], &a, member, (void *)i);
		if (e) {
			printf("thread %ld: %s\n", i, strerrorname_np(e));
			return 1;
		}
	}
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	pthread_barrier_wait(&barrier);
	for (long i = 0; i < n; i++) {
		void *r;
		pthread_join(t[i], &r);
		if (r != (void *)i) return 2;
	}
	printf("%ld threads: %s\n", n, sum == n * (n - 1) / 2 + n ? "right" : "wrong");
	long before = 0;
	for (long i = 0; i < rounds; i++) {
		if (i == rounds / 4) before = kernel_memory();
		void *r;
		if (pthread_create(&t[0], &a, one, (void *)i)) {
			printf("round %ld: %s\n", i, strerrorname_np(errno));
			return 3;
		}
		pthread_join(t[0], &r);
		if (r != (void *)(i + 1)) return 4;
	}
	long lost = before - kernel_memory();
	if (argc > 3) printf("%ld KiB lost\n", lost);
	printf("%ld rounds: %s\n", rounds, lost < 4096 ? "no leak" : "leak");
}
