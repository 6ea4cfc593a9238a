// An agent with an event loop of its own: it reads targets (by address) from stdin, probes each
// once a second, says when one goes up or down, and ends after so many results a target. Modules
// are the built-in ones, or those of a third argument: cc own_loop.c -D_GNU_SOURCE -lprobity -o own_loop
//     printf 'http://127.0.0.1:8080/\n' | ./own_loop http_2xx 3 ['modules: {http_2xx: {prober: http}}']
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probity.h"

enum { CONNS = 64, SLOTS = 8192 }; // of a run; the engine's usual bounds (6,144) and reports not read yet
// Sockets by run and connection, with what is still to be sent. Closed ones are -1.
static struct link { uint64_t run; uint32_t conn; int fd, open, waits, flush, error; uint8_t *rest; size_t left; } links[SLOTS][CONNS];
static probity_engine engine; static int loop; static size_t reports; // of scheduled runs

static void check(probity_result result, const char *what) {
    if (result == PROBITY_RESULT_OK || result == PROBITY_RESULT_NOTHING) return;
    probity_text text = probity_result_text(result);
    fprintf(stderr, "%s: %.*s\n", what, (int)text.length, text.data);
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void forget(struct link *it) {
    if (it->fd >= 0) close(it->fd);
    free(it->rest);
    *it = (struct link){.run = it->run, .conn = it->conn, .fd = -1};
}

// Releases a connection and tells the engine why it ended; whose fault an error is, it knows.
static void ended(struct link *it, int error) {
    probity_closed closed = {.size = sizeof closed, .why = error == 0 ? PROBITY_CLOSED_END : PROBITY_CLOSED_ERRNO, .reason = (uint32_t)error};
    forget(it);
    check(probity_engine_closed(engine, it->run, it->conn, &closed, now()), "closed");
}

static void watch(struct link *it, int operation) {
    struct epoll_event event = {.events = (it->open ? EPOLLIN : 0) | (it->waits ? EPOLLOUT : 0), .data.ptr = it};
    if (epoll_ctl(loop, operation, it->fd, &event) < 0) ended(it, errno);
}

// Connects (`connect`) to an address, or comes from it (`bind`).
static int by_address(int (*call)(int, const struct sockaddr *, socklen_t), int fd, const probity_address *at) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    memcpy(&v4.sin_addr, at->ip, 4);
    memcpy(&v6.sin6_addr, at->ip, 16);
    return at->family == 4 ? call(fd, (struct sockaddr *)&v4, sizeof v4) : call(fd, (struct sockaddr *)&v6, sizeof v6);
}

static void open_link(struct link *it, const probity_output *asked) {
    int kind = asked->transport == PROBITY_TRANSPORT_TCP ? SOCK_STREAM : SOCK_DGRAM, family = asked->address.family == 4 ? AF_INET : AF_INET6;
    *it = (struct link){.run = asked->run, .conn = asked->conn, .waits = 1, .fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (it->fd < 0 || (asked->source.family != 0 && by_address(bind, it->fd, &asked->source) < 0)) ended(it, errno);
    else if (by_address(connect, it->fd, &asked->address) < 0 && errno != EINPROGRESS) ended(it, errno);
    else watch(it, EPOLL_CTL_ADD);
}

// Sends what the system takes; when it has taken all, the engine may want to know. An error is told when all is read.
static void send_rest(struct link *it) {
    ssize_t sent = it->left > 0 ? send(it->fd, it->rest, it->left, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) { it->error = errno; it->left = 0; }
    if (sent > 0) memmove(it->rest, it->rest + sent, it->left -= (size_t)sent);
    if (it->waits != (it->left > 0 || it->error)) { it->waits = !it->waits; watch(it, EPOLL_CTL_MOD); }
    if (!it->flush || it->waits) return;
    it->flush = 0;
    check(probity_engine_flushed(engine, it->run, it->conn, now()), "flushed");
}

static void happened(struct link *it) {
    static uint8_t buffer[65536];
    int error = 0;
    socklen_t length = sizeof error;
    if (it->fd < 0) return; // closed since epoll_wait
    if (!it->open) {
        if (getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0) { ended(it, error); return; }
        it->open = 1;
        check(probity_engine_opened(engine, it->run, it->conn, now()), "opened");
    }
    if (it->waits) send_rest(it);
    // What the engine has no time for yet stays in the socket: epoll tells of it again.
    if (it->fd < 0 || probity_engine_is_behind(engine, it->run) == PROBITY_RESULT_OK) return;
    ssize_t got = read(it->fd, buffer, sizeof buffer);
    if (got < 0 && errno == EAGAIN && !it->error) return;
    if (got <= 0) ended(it, it->error ? it->error : got < 0 ? errno : 0);
    else check(probity_engine_data(engine, it->run, it->conn, (probity_bytes){buffer, (size_t)got}, now()), "data");
}

static void carry_out(const probity_output *asked) {
    struct link *it = &links[(uint32_t)asked->run < SLOTS ? (uint32_t)asked->run : (abort(), 0)][asked->conn];
    switch (asked->kind) {
    case PROBITY_OUTPUT_OPEN: open_link(it, asked); break;
    case PROBITY_OUTPUT_CLOSE: forget(it); break;
    case PROBITY_OUTPUT_FLUSH: it->flush = 1; if (it->fd >= 0) send_rest(it); break;
    case PROBITY_OUTPUT_SEND: if (it->fd < 0) break;
        if ((it->rest = realloc(it->rest, it->left + asked->bytes.length)) == NULL) abort();
        memcpy(it->rest + it->left, asked->bytes.data, asked->bytes.length);
        it->left += asked->bytes.length;
        send_rest(it);
        break;
    case PROBITY_OUTPUT_REPORT: reports++;
        if (asked->report->transition == PROBITY_HEALTH_UNKNOWN) break;
        printf("%016llx %s %.*s\n", (unsigned long long)asked->report->target, asked->report->transition == PROBITY_HEALTH_UP ? "up" : "down",
               (int)asked->report->detail.length, asked->report->detail.data);
    }
}

int main(int argc, char **argv) {
    uint8_t seed[32]; char line[1024], text[512];
    size_t length, targets = 0, rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    static struct epoll_event events[SLOTS]; // what has happened is told before anything expires: all of it
    probity_config config;
    probity_buffer error = {text, sizeof text, 0};
    probity_output outputs[64] = {{.size = sizeof outputs[0]}};
    probity_engine_config with = {.size = sizeof with, .seed = {seed, sizeof seed}, .tls = PROBITY_TLS_LIBRARY};
    if (argc < 2 || getrandom(seed, sizeof seed, 0) != sizeof seed) return 2;
    loop = epoll_create1(EPOLL_CLOEXEC);
    probity_text modules = {argc > 3 ? argv[3] : "", argc > 3 ? strlen(argv[3]) : 0};
    if (probity_config_parse((probity_text){0}, modules, PROBITY_FILES_NONE, &config, &error) != PROBITY_RESULT_OK) return fprintf(stderr, "%s\n", text), 1;
    check(probity_engine_new(&with, now(), &engine), "engine");
    for (; fgets(line, sizeof line, stdin) != NULL; targets++) {
        probity_target target = {.size = sizeof target, .config = config, .interval = 1000000000,
                                 .module = {argv[1], strlen(argv[1])}, .target = {line, strcspn(line, "\n")}};
        if (probity_engine_add(engine, &target, now(), NULL, &error) != PROBITY_RESULT_OK) return fprintf(stderr, "%s: %s\n", line, text), 1;
    }
    check(probity_engine_begin(engine, now()), "begin");
    while (reports < targets * rounds) {
        uint64_t next, moment = now();
        check(probity_engine_step(engine, moment, outputs, 64, &length, &next), "step");
        for (size_t i = 0; i < length; i++) carry_out(&outputs[i]);
        if (next == 0) continue; // there are more
        int wait = length > 0 || next <= moment ? 0 : next - moment > 1000000000 ? 1000 : (int)((next - moment + 999999) / 1000000);
        for (int i = 0, count = epoll_wait(loop, events, SLOTS, wait); i < count; i++) happened(events[i].data.ptr);
    }
    check(probity_engine_free(engine), "free"); check(probity_config_free(config), "free");
    return close(loop);
}
