/* The least that a server can do: answer each request with a constant, in two processes. `noop PORT` */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"granted\": true}";

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    if (fork() == 0) prctl(PR_SET_PDEATHSIG, SIGTERM);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), loop = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(loop, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            static char request[65536];
            int fd = ready[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
                setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                epoll_ctl(loop, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            /* The sender's requests are short and come in one piece. */
            if (recv(fd, request, sizeof request, 0) <= 0) close(fd);
            else send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
        }
    }
}
