// An agent with an event loop of its own: it reads targets from standard input, a
// line each, probes every one once a second with the module `argv[1]`, says when
// one goes up or down, and ends when each has had `argv[2]` results.
//
//     cc own_loop.c -lprobity -o own_loop
//     printf 'http://127.0.0.1:8080/\n' | ./own_loop http_2xx 3
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probity.h"

enum { CONNS = 64, SLOTS = 4096 + 1024 + 1024 }; // of a run; of the engine's usual bounds

// Sockets by run and connection. Closed ones are -1.
static struct link { uint64_t run; uint32_t conn; int fd, open; } links[SLOTS][CONNS];
static int loop;
static probity_engine engine;

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
    it->fd = -1;
}

// Releases a connection and tells the engine why it ended.
static void ended(struct link *it, int error) {
    probity_closed closed = {.size = sizeof closed, .why = PROBITY_CLOSED_END};
    if (error == ECONNREFUSED) closed.why = PROBITY_CLOSED_REFUSED;
    else if (error == ECONNRESET || error == EPIPE) closed.why = PROBITY_CLOSED_RESET;
    else if (error == ETIMEDOUT) closed.why = PROBITY_CLOSED_TIMED_OUT;
    else if (error == EHOSTUNREACH || error == ENETUNREACH) closed.why = PROBITY_CLOSED_UNREACHABLE;
    else if (error == EMFILE || error == ENFILE) {
        closed.why = PROBITY_CLOSED_LOCAL; // our fault, not the target's
        closed.reason = probity_reason_number((probity_text){"no_descriptors", 14});
    } else if (error != 0) {
        closed.why = PROBITY_CLOSED_OTHER;
        closed.detail = (probity_text){strerror(error), strlen(strerror(error))};
    }
    forget(it);
    check(probity_engine_closed(engine, it->run, it->conn, &closed, now()), "closed");
}

static void open_link(struct link *it, const probity_output *asked) {
    int kind = asked->transport == PROBITY_TRANSPORT_TCP ? SOCK_STREAM : SOCK_DGRAM;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(asked->address.port)};
    memcpy(&to.sin_addr, asked->address.ip, 4);
    *it = (struct link){.run = asked->run, .conn = asked->conn, .fd = -1};
    if (asked->address.family != 4) return ended(it, EHOSTUNREACH);
    it->fd = socket(AF_INET, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (it->fd < 0) return ended(it, errno);
    if (connect(it->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) return ended(it, errno);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = it};
    epoll_ctl(loop, EPOLL_CTL_ADD, it->fd, &event);
}

static void happened(struct link *it) {
    static uint8_t buffer[65536];
    if (it->fd < 0) return; // closed since epoll_wait
    if (!it->open) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) return ended(it, error);
        it->open = 1;
        check(probity_engine_opened(engine, it->run, it->conn, now()), "opened");
    }
    for (;;) {
        ssize_t got = read(it->fd, buffer, sizeof buffer);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return ended(it, got < 0 ? errno : 0);
        probity_bytes bytes = {buffer, (size_t)got};
        check(probity_engine_data(engine, it->run, it->conn, bytes, now()), "data");
    }
}

static unsigned long reports; // of scheduled runs

static void carry_out(const probity_output *asked) {
    struct link *it = &links[asked->run & 0xffffffff][asked->conn];
    switch (asked->kind) {
    case PROBITY_OUTPUT_OPEN: return open_link(it, asked);
    case PROBITY_OUTPUT_CLOSE: return forget(it);
    case PROBITY_OUTPUT_SEND: // requests are small; a larger one would be kept and sent on
        if (it->fd >= 0 && send(it->fd, asked->bytes.data, asked->bytes.length, MSG_NOSIGNAL) < 0) ended(it, errno);
        break;
    case PROBITY_OUTPUT_FLUSH: return check(probity_engine_flushed(engine, asked->run, asked->conn, now()), "flushed");
    case PROBITY_OUTPUT_REPORT:
        reports++;
        if (asked->report->transition != PROBITY_HEALTH_UNKNOWN)
            printf("%016llx %s %.*s\n", (unsigned long long)asked->report->target,
                   asked->report->transition == PROBITY_HEALTH_UP ? "up" : "down",
                   (int)asked->report->detail.length, asked->report->detail.data);
    }
}

int main(int argc, char **argv) {
    uint8_t seed[32];
    char line[1024], text[512];
    unsigned long targets = 0, rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    probity_config config;
    probity_buffer error = {text, sizeof text, 0};
    probity_output outputs[64] = {{.size = sizeof outputs[0]}};
    probity_engine_config with = {.size = sizeof with, .seed = {seed, sizeof seed}};
    if (argc < 2 || getrandom(seed, sizeof seed, 0) != sizeof seed) return 2;
    loop = epoll_create1(EPOLL_CLOEXEC);
    check(probity_config_parse((probity_text){0}, (probity_text){0}, PROBITY_FILES_NONE, &config, NULL), "modules");
    check(probity_engine_new(&with, now(), &engine), "engine");
    for (; fgets(line, sizeof line, stdin) != NULL; targets++) {
        probity_target target = {.size = sizeof target, .config = config, .interval = 1000000000,
                                 .module = {argv[1], strlen(argv[1])}, .target = {line, strcspn(line, "\n")}};
        probity_result added = probity_engine_add(engine, &target, now(), NULL, &error);
        if (added != PROBITY_RESULT_OK) return fprintf(stderr, "%s: %s\n", line, text), 1;
    }
    check(probity_engine_begin(engine, now()), "begin");
    while (reports < targets * rounds) {
        struct epoll_event events[256];
        uint64_t next, moment;
        size_t length;
        check(probity_engine_step(engine, now(), outputs, 64, &length, &next), "step");
        for (size_t i = 0; i < length; i++) carry_out(&outputs[i]);
        moment = now(); // what was carried out may have told the engine something: no sleep then
        int wait = length > 0 || next <= moment ? 0 : next - moment > 1000000000 ? 1000 : (int)((next - moment + 999999) / 1000000);
        int count = epoll_wait(loop, events, 256, wait);
        for (int i = 0; i < count; i++) happened(events[i].data.ptr);
    }
    check(probity_engine_free(engine), "free");
    check(probity_config_free(config), "free");
    return close(loop);
}
