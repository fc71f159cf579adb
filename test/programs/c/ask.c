/* ask SOCKET METHOD PATH BODY: one request of a server at a Unix socket, by HTTP; its answer. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = {AF_UNIX};
	char b[4096];
	int s = socket(AF_UNIX, SOCK_STREAM, 0), n;

	if (argc != 5)
		return 2;
	strncpy(a.sun_path, argv[1], sizeof a.sun_path - 1);
	if (connect(s, (void *)&a, sizeof a) != 0)
		return 1;
	n = snprintf(b, sizeof b, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	             argv[2], argv[3], strlen(argv[4]), argv[4]);
	if (write(s, b, n) != n || (n = read(s, b, sizeof b - 1)) < 0)
		return 1;
	b[n] = 0;
	puts(b);
	return strncmp(b, "HTTP/1.1 2", 10) != 0;
}
