/*
 * Replays the CALL frames of a real RPyC 6 client over many connections and counts the answers; every one is checked.
 *
 *     replay PORT CONNECTIONS DEPTH batch|window SECONDS call NAME...          add(2, 3) of a method held, by its path from the root
 *     replay PORT CONNECTIONS DEPTH batch|window SECONDS raw REQUEST REPLY     fixed frames, in hexadecimal, to a server that parses nothing
 *
 * batch: DEPTH requests in one write, the next ones when all are answered, as a program does that gathers results.
 * window: as many requests as were answered, at once, so that DEPTH are always under way.
 * Writes one line of JSON. Whatever is not the right answer ends it with a message and status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 5, MAX_TAIL = 600, MAX_DEPTH = 64, MAX_FRAME = 700, IN = 1 << 16, STALL_MS = 10000, MAX_US = 1000000, MAX_CONNECTIONS = 512 };
enum { REQUEST = 1, REPLY = 2 };
enum { GETROOT = 3, GETATTR = 4, CALL = 7, INSPECT = 16 };
static const double WARM_UP = 0.2;
static const char RIGHT[] = "\x11\x51\x55"; /* by value: 5 */

typedef struct {
    int fd;
    int under_way;
    long seq;
    unsigned long long waits;    /* the bit of each request that has no answer, by its number modulo 64 */
    double sent[MAX_DEPTH];      /* when it was sent, likewise */
    size_t have;
    size_t tail_size;
    unsigned char tail[MAX_TAIL]; /* what follows the number in a request */
    unsigned char in[IN];
} Connection;

static unsigned char raw_request[MAX_FRAME], raw_reply[MAX_FRAME];
static size_t raw_request_size, raw_reply_size;
static unsigned long histogram[MAX_US + 1];
static unsigned long calls;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say_refusal(const unsigned char *payload, size_t size) {
    char text[400];
    size_t n = size < sizeof text - 1 ? size : sizeof text - 1;
    for (size_t i = 0; i < n; i++) text[i] = payload[i] >= 32 && payload[i] < 127 ? (char)payload[i] : '.';
    text[n] = 0;
    die("expected the right answer, got: %s", text);
}

static size_t put_number(unsigned char *to, long number) {
    if (number < 160) {
        to[0] = (unsigned char)(number + 0x50);
        return 1;
    }
    to[0] = 0x16;
    to[1] = (unsigned char)sprintf((char *)to + 2, "%ld", number);
    return 2u + to[1];
}

/* Returns what follows the number, NULL when there is none. */
static const unsigned char *get_number(const unsigned char *from, const unsigned char *end, long *number) {
    if (from < end && *from >= 0x20 && *from < 0xF0) {
        *number = *from - 0x50;
        return from + 1;
    }
    if (end - from < 3 || *from != 0x16 || end - from < 2 + from[1]) return NULL;
    *number = strtol((const char *)from + 2, NULL, 10);
    return from + 2 + from[1];
}

static size_t put_frame(unsigned char *to, long seq, const unsigned char *tail, size_t tail_size) {
    unsigned char *at = to + HEAD;
    *at++ = REQUEST;
    *at++ = 0x11;
    at += put_number(at, seq);
    memcpy(at, tail, tail_size);
    at += tail_size;
    uint32_t length = htonl((uint32_t)(at - to - HEAD));
    memcpy(to, &length, 4);
    to[4] = 0;
    *at++ = '\n';
    return (size_t)(at - to);
}

static void send_all(int fd, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd waits = {.fd = fd, .events = POLLOUT};
            if (poll(&waits, 1, STALL_MS) < 1) die("the server does not read");
            continue;
        }
        if (sent < 0) die("send: %s", strerror(errno));
        data += sent;
        size -= (size_t)sent;
    }
}

static void receive_all(int fd, unsigned char *to, size_t size) {
    while (size) {
        ssize_t came = recv(fd, to, size, 0);
        if (came == 0) die("the server hung up");
        if (came < 0) die("recv: %s", strerror(errno));
        to += came;
        size -= (size_t)came;
    }
}

/* Asks while nothing else is under way; the answer's boxed value replaces what is in the connection's buffer. */
static size_t ask(Connection *c, const unsigned char *tail, size_t tail_size) {
    unsigned char frame[MAX_FRAME];
    long seq;
    send_all(c->fd, frame, put_frame(frame, c->seq++, tail, tail_size));
    receive_all(c->fd, c->in, HEAD);
    uint32_t length;
    memcpy(&length, c->in, 4);
    length = ntohl(length);
    if (length >= IN) die("an answer of %u bytes while opening", length);
    int packed = c->in[4];
    receive_all(c->fd, c->in, length + 1);
    if (packed) return 0; /* of INSPECT only, which nobody looks at */
    const unsigned char *end = c->in + length, *value = length > 2 ? get_number(c->in + 2, end, &seq) : NULL;
    if (!value || c->in[0] != REPLY || c->in[1] != 0x11 || seq != c->seq - 1) say_refusal(c->in, length);
    memmove(c->in, value, (size_t)(end - value));
    return (size_t)(end - value);
}

/* Asks for an object; its id pack, as it came, goes to `pack`. */
static size_t ask_object(Connection *c, const unsigned char *tail, size_t tail_size, unsigned char *pack) {
    size_t size = ask(c, tail, tail_size);
    if (size < 3 || size > 302 || memcmp(c->in, "\x11\x54", 2)) say_refusal(c->in, size);
    memcpy(pack, c->in + 2, size - 2);
    return size - 2;
}

static size_t put(unsigned char *to, const void *from, size_t size) {
    memcpy(to, from, size);
    return size;
}

/* The opening of a real client that reaches for a method: GETROOT, INSPECT, then GETATTR and INSPECT for each name but the last. */
static void open_call(Connection *c, int count, const char *const *names) {
    unsigned char tail[MAX_TAIL], pack[300];
    size_t size = ask_object(c, (const unsigned char *)"\x11\x53\x11\x51\x02", 5, pack);
    for (int i = 0; i < count; i++) {
        size_t n = put(tail, "\x11\x60\x11\x51\x10", 5); /* INSPECT: the id pack by value */
        n += put(tail + n, pack, size);
        ask(c, tail, n);
        size_t length = strlen(names[i]);
        if (length < 1 || length > 100) die("a name of %zu bytes", length);
        n = put(tail, "\x11\x54\x11\x52\x11\x11\x53", 7); /* GETATTR: a reference and the name */
        n += put(tail + n, pack, size);
        n += put(tail + n, "\x11\x51\x08", 3);
        if (length <= 4)
            tail[n++] = (unsigned char)(0x09 + length);
        else {
            tail[n++] = 0x0E;
            tail[n++] = (unsigned char)length;
        }
        n += put(tail + n, names[i], length);
        size = ask_object(c, tail, n, pack);
    }
    c->tail_size = put(c->tail, "\x11\x57\x11\x52\x12\x11\x53", 7); /* CALL: a reference, (2, 3), no keywords */
    c->tail_size += put(c->tail + c->tail_size, pack, size);
    c->tail_size += put(c->tail + c->tail_size, "\x11\x51\x11\x52\x53\x11\x51\x02", 8);
}

static void send_calls(Connection *c, int count) {
    static unsigned char out[MAX_DEPTH * MAX_FRAME];
    size_t size = 0;
    double at = now();
    for (int i = 0; i < count; i++) {
        int place = (int)(c->seq % MAX_DEPTH);
        if (raw_request_size)
            size += put(out + size, raw_request, raw_request_size);
        else
            size += put_frame(out + size, c->seq, c->tail, c->tail_size);
        c->waits |= 1ull << place;
        c->sent[place] = at;
        c->seq++;
    }
    c->under_way += count;
    send_all(c->fd, out, size);
}

static void check_answer(Connection *c, const unsigned char *payload, size_t size, int flag, double at) {
    long seq;
    if (raw_request_size) {
        if (size + HEAD + 1 != raw_reply_size || memcmp(payload - HEAD, raw_reply, raw_reply_size)) die("not the canned reply");
        seq = c->seq - c->under_way;
    } else {
        const unsigned char *end = payload + size, *value = size > 2 ? get_number(payload + 2, end, &seq) : NULL;
        if (flag || !value || payload[0] != REPLY || payload[1] != 0x11) say_refusal(payload, size);
        if (end - value != 3 || memcmp(value, RIGHT, 3)) say_refusal(payload, size);
        if (seq < c->seq - MAX_DEPTH || seq >= c->seq) die("an answer to request %ld, which was not asked now", seq);
    }
    int place = (int)(seq % MAX_DEPTH);
    if (!(c->waits >> place & 1)) die("a second answer to request %ld", seq);
    c->waits &= ~(1ull << place);
    c->under_way--;
    double us = (at - c->sent[place]) * 1e6;
    histogram[us < MAX_US ? (int)us : MAX_US]++;
    calls++;
}

static void take_answers(Connection *c, int depth, int window) {
    ssize_t came = recv(c->fd, c->in + c->have, IN - c->have, 0);
    if (came < 0 && errno == EAGAIN) return;
    if (came <= 0) die("the server ended a connection: %s", came ? strerror(errno) : "end of stream");
    c->have += (size_t)came;
    double at = now();
    size_t start = 0;
    while (c->have - start >= HEAD) {
        uint32_t length;
        memcpy(&length, c->in + start, 4);
        length = ntohl(length);
        if (length > IN / 2) die("an answer of %u bytes", length);
        if (c->have - start < HEAD + length + 1) break;
        check_answer(c, c->in + start + HEAD, length, c->in[start + 4], at);
        start += HEAD + length + 1;
    }
    memmove(c->in, c->in + start, c->have -= start);
    if (window ? c->under_way < depth : !c->under_way) send_calls(c, depth - c->under_way);
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = STALL_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect to port %d: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static struct {
    int port, count;
    const char *const *names;
} opening;

static void *open_one(void *connection) {
    Connection *c = connection;
    c->fd = connect_to(opening.port);
    if (opening.names) open_call(c, opening.count, opening.names);
    return NULL;
}

/* All at once: a server may take a tenth of a second for each request. */
static void open_all(Connection *connections, int count) {
    pthread_t threads[MAX_CONNECTIONS];
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, open_one, &connections[i])) die("no more threads");
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static size_t from_hexadecimal(const char *text, unsigned char *to) {
    size_t size = strlen(text) / 2;
    if (!size || size > MAX_FRAME) die("a raw frame of %zu bytes", size);
    for (size_t i = 0; i < size; i++)
        if (sscanf(text + 2 * i, "%2hhx", to + i) != 1) die("not hexadecimal: %s", text);
    return size;
}

static unsigned long percentile(double part) {
    unsigned long seen = 0;
    for (unsigned long us = 0; us <= MAX_US; us++)
        if ((seen += histogram[us]) >= (unsigned long)((double)calls * part) && seen) return us;
    return 0;
}

static double measure(int poller, int depth, int window, double seconds) {
    struct epoll_event ready[256];
    double start = now(), end = start + WARM_UP + seconds, at = start;
    for (int warm = 0; at < end; at = now()) {
        if (!warm && at >= start + WARM_UP) {
            warm = 1;
            start = at;
            end = at + seconds;
            calls = 0;
            memset(histogram, 0, sizeof histogram);
        }
        int count = epoll_wait(poller, ready, 256, STALL_MS);
        if (count < 1) die("no answer for %d s", STALL_MS / 1000);
        for (int i = 0; i < count; i++) take_answers(ready[i].data.ptr, depth, window);
    }
    return at - start;
}

int main(int argc, char **argv) {
    if (argc < 8) die("usage: replay PORT CONNECTIONS DEPTH batch|window SECONDS call NAME... | raw REQUEST REPLY");
    int port = atoi(argv[1]), count = atoi(argv[2]), depth = atoi(argv[3]), window = !strcmp(argv[4], "window");
    double seconds = atof(argv[5]);
    int raw = !strcmp(argv[6], "raw");
    if (count < 1 || count > MAX_CONNECTIONS || depth < 1 || depth > MAX_DEPTH || seconds <= 0 || (raw && argc != 9)) die("bad arguments");
    if (raw) {
        raw_request_size = from_hexadecimal(argv[7], raw_request);
        raw_reply_size = from_hexadecimal(argv[8], raw_reply);
    }
    Connection *connections = calloc((size_t)count, sizeof *connections);
    int poller = epoll_create1(0);
    if (!connections || poller < 0) die("out of memory or descriptors");
    opening.port = port;
    opening.count = argc - 7;
    opening.names = raw ? NULL : (const char *const *)argv + 7;
    open_all(connections, count);
    double opened = now();
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event)) die("epoll: %s", strerror(errno));
        send_calls(&connections[i], depth);
    }
    /* Connections stay blocking: one is read once whenever it is readable. */
    double duration = measure(poller, depth, window, seconds);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"count\": %lu, \"seconds\": %.6f, \"p50_us\": %lu, \"p99_us\": %lu, \"load_cpu_seconds\": %.6f, \"wall_seconds\": %.6f}\n",
           calls, duration, percentile(0.5), percentile(0.99), cpu, now() - opened);
    return 0;
}
