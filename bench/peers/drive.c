/* Send the requests of a file on kept-alive connections, one at a time on each.
 *
 *     drive PORT CONNECTIONS STATUS SECONDS FILE
 *
 * FILE holds requests, each after a line with its length in bytes. As in bench/load.py, connections are opened one
 * after the other, each with an answered request before the next is opened; those first requests are not timed. No
 * request is sent after SECONDS. Prints one JSON object; `wrong` counts the answers with another status than STATUS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024
/* Seconds for an answer: only a server that hangs takes so long. */
#define PATIENCE 30

typedef struct {
    int fd;
    double sent_at;
    int received;
    char answer[16384];
} Client;

static Client clients[MOST];
static char *next, *end;
static int wanted_status;
static long answered, wrong;
static char first_wrong[512];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void send_next(Client *client) {
    char *request;
    long length = strtol(next, &request, 10);
    next = ++request + length;
    client->received = 0;
    client->sent_at = now();
    if (send(client->fd, request, length, MSG_NOSIGNAL) != length) fail("send");
}

/* Return whether the answer is whole. */
static int receive(Client *client) {
    char *answer = client->answer;
    ssize_t n = recv(client->fd, answer + client->received, sizeof client->answer - 1 - client->received, 0);
    if (n <= 0) fail("a connection ended");
    client->received += n;
    answer[client->received] = 0;
    char *body = strstr(answer, "\r\n\r\n");
    if (!body) return 0;
    body += 4;
    char *length = strcasestr(answer, "\r\ncontent-length:"), *chunked = strcasestr(answer, "\r\ntransfer-encoding: chunked");
    if (length && length < body) {
        if (answer + client->received - body < atol(length + 17)) return 0;
    } else if (!chunked || chunked > body || memcmp(answer + client->received - 5, "0\r\n\r\n", 5)) {
        return 0;
    }
    answered++;
    if (atoi(answer + 9) != wanted_status && !wrong++) snprintf(first_wrong, sizeof first_wrong, "%.500s", answer);
    return 1;
}

static void connect_client(Client *client, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE};
    int one = 1;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(client->fd, (void *)&address, sizeof address)) fail("connect");
}

static int compare(const void *a, const void *b) {
    double x = *(double *)a, y = *(double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[2]) < 1 || atoi(argv[2]) > MOST) {
        fprintf(stderr, "usage: drive PORT CONNECTIONS STATUS SECONDS FILE\n");
        return 1;
    }
    int connections = atoi(argv[2]), opened = 0, loop = epoll_create1(0);
    double seconds = atof(argv[4]);
    wanted_status = atoi(argv[3]);
    FILE *file = fopen(argv[5], "r");
    struct stat stat;
    if (!file || fstat(fileno(file), &stat)) fail(argv[5]);
    next = malloc(stat.st_size + 1);
    end = next + fread(next, 1, stat.st_size, file);
    *end = 0;
    double begun = now();
    for (; opened < connections && next < end; opened++) {
        Client *client = &clients[opened];
        connect_client(client, atoi(argv[1]));
        send_next(client);
        while (!receive(client)) continue;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        epoll_ctl(loop, EPOLL_CTL_ADD, client->fd, &event);
    }
    /* No request is shorter than its line with the length and a byte. */
    double *times = malloc(sizeof(double) * (stat.st_size / 3 + 1)), started = now();
    long timed = 0;
    int waiting = 0;
    for (; waiting < opened && next < end; waiting++) send_next(&clients[waiting]);
    while (waiting) {
        struct epoll_event ready[MOST];
        int n = epoll_wait(loop, ready, MOST, PATIENCE * 1000);
        if (n <= 0) fail("no answer in time");
        for (int i = 0; i < n; i++) {
            Client *client = ready[i].data.ptr;
            if (!receive(client)) continue;
            double at = now();
            times[timed++] = at - client->sent_at;
            if (next < end && at - begun < seconds) send_next(client);
            else waiting--;
        }
    }
    double took = now() - started;
    if (wrong) fprintf(stderr, "%s\n", first_wrong);
    qsort(times, timed, sizeof *times, compare);
    printf("{\"answered\": %ld, \"wrong\": %ld, \"rate\": %.1f, \"p50\": %.4f, \"p99\": %.4f}\n", answered, wrong,
           timed / took, timed ? times[timed / 2] * 1e3 : 0, timed ? times[timed * 99 / 100] * 1e3 : 0);
    return 0;
}
