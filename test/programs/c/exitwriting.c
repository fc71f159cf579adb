// A thread writes all the time, while the process ends.
#include <pthread.h>
#include <unistd.h>

static void *writes(void *p) {
	for (;;)
		write(1, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 40);
	return p;
}

int main(void) {
	pthread_t t;
	pthread_create(&t, 0, writes, 0);
	usleep(20000);
	_exit(7);
}
