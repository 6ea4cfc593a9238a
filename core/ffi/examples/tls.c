// Checks targets once each from a loop of its own around poll(2), with the library's
// TLS: it carries bytes and knows nothing of what is in them. Says what became of each,
// and of its certificates when the first expires. `argv[1]` is a file with modules.
//
// Targets are addresses: names would need resolv_conf and hosts of the configuration.
//
//     cc tls.c -D_GNU_SOURCE -lprobity -o tls
//     ./tls modules.yml http_2xx https://192.0.2.7/
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probity.h"

enum { MOST = 256 }; // connections at once

// Sockets, and what they have not taken yet. Those without a socket are not in use.
static struct link { uint64_t run; uint32_t conn; int used, fd, open, flushing, error; uint8_t *unsent; size_t left; } links[MOST];
static probity_engine engine;
static struct { uint64_t run; probity_text name; } asked_for[MOST];
static unsigned reports, bad;

static void check(probity_result result, const char *what) {
    if (result == PROBITY_RESULT_OK || result == PROBITY_RESULT_NOTHING) return;
    probity_text text = probity_result_text(result);
    fprintf(stderr, "%s: %.*s\n", what, (int)text.length, text.data);
    exit(2);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void listen_to(void *context, const probity_log *log) {
    (void)context;
    fprintf(stderr, "%u %.*s: %.*s\n", log->level, (int)log->part.length, log->part.data,
            (int)log->message.length, log->message.data);
}

static struct link *find(uint64_t run, uint32_t conn, int used) {
    for (int i = 0; i < MOST; i++)
        if (links[i].used == used && (!used || (links[i].run == run && links[i].conn == conn))) return &links[i];
    return NULL;
}

static void forget(struct link *it) {
    if (it->fd >= 0) close(it->fd);
    free(it->unsent);
    memset(it, 0, sizeof *it);
}

// Releases a connection and tells the engine why it ended.
static void ended(struct link *it, int error) {
    probity_closed closed = {.size = sizeof closed, .why = error == 0 ? PROBITY_CLOSED_END : PROBITY_CLOSED_ERRNO, .reason = (uint32_t)error};
    struct link was = *it;
    forget(it);
    check(probity_engine_closed(engine, was.run, was.conn, &closed, now()), "closed");
}

// Connects (`connect`) to an address, or comes from it (`bind`).
static int by_address(int (*call)(int, const struct sockaddr *, socklen_t), int fd, const probity_address *at) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    memcpy(&v4.sin_addr, at->ip, 4);
    memcpy(&v6.sin6_addr, at->ip, 16);
    return at->family == 4 ? call(fd, (struct sockaddr *)&v4, sizeof v4) : call(fd, (struct sockaddr *)&v6, sizeof v6);
}

static void open_link(const probity_output *asked) {
    struct link *it = find(0, 0, 0);
    int kind = asked->transport == PROBITY_TRANSPORT_TCP ? SOCK_STREAM : SOCK_DGRAM;
    if (it == NULL) exit(2); // more targets than this example is made for
    *it = (struct link){.run = asked->run, .conn = asked->conn, .used = 1};
    it->fd = socket(asked->address.family == 4 ? AF_INET : AF_INET6, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (it->fd < 0 || (asked->source.family != 0 && by_address(bind, it->fd, &asked->source) < 0)) ended(it, errno);
    else if (by_address(connect, it->fd, &asked->address) < 0 && errno != EINPROGRESS) ended(it, errno);
}

// Sends what waits, and says when it has gone if the engine wants to know. An error is
// told when all that has arrived is read.
static void flush(struct link *it) {
    ssize_t sent = it->left > 0 ? send(it->fd, it->unsent, it->left, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) { it->error = errno; it->left = 0; }
    if (sent > 0) memmove(it->unsent, it->unsent + sent, it->left -= (size_t)sent);
    if (it->left > 0 || !it->flushing || it->error) return;
    it->flushing = 0;
    check(probity_engine_flushed(engine, it->run, it->conn, now()), "flushed");
}

static void send_on(struct link *it, probity_bytes bytes) {
    it->unsent = realloc(it->unsent, it->left + bytes.length);
    if (it->unsent == NULL) exit(2);
    memcpy(it->unsent + it->left, bytes.data, bytes.length);
    it->left += bytes.length;
    flush(it);
}

static void happened(struct link *it) {
    static uint8_t buffer[65536];
    if (!it->open) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) { ended(it, error); return; }
        it->open = 1;
        check(probity_engine_opened(engine, it->run, it->conn, now()), "opened");
    }
    flush(it);
    if (probity_engine_is_behind(engine, it->run) == PROBITY_RESULT_OK) return;
    ssize_t got = read(it->fd, buffer, sizeof buffer);
    if (got < 0 && errno == EAGAIN && !it->error) return;
    if (got <= 0) ended(it, it->error ? it->error : got < 0 ? errno : 0);
    else check(probity_engine_data(engine, it->run, it->conn, (probity_bytes){buffer, (size_t)got}, now()), "data");
}

static void tell(const probity_output *asked) {
    const probity_report *report = asked->report;
    probity_text name = {0}, reason = probity_reason_name(report->reason);
    for (int i = 0; i < MOST && name.length == 0; i++)
        if (asked_for[i].run == asked->run) name = asked_for[i].name;
    static const char *outcomes[] = {"success", "warning", "failure", "unknown"};
    printf("%s %.*s %.*s %.*s\n", outcomes[report->outcome],
           (int)name.length, name.data, (int)reason.length, reason.data, (int)report->detail.length,
           report->detail.data);
    if (report->tls != NULL)
        printf("  %.*s expires=%lld names=%.*s sha256=%.*s\n", (int)report->tls->version.length,
               report->tls->version.data, (long long)report->tls->earliest_expiry,
               (int)report->tls->subject_alternative.length, report->tls->subject_alternative.data,
               (int)report->tls->fingerprint_sha256.length, report->tls->fingerprint_sha256.data);
    bad += report->outcome > PROBITY_OUTCOME_WARNING;
    reports++;
}

static void carry_out(const probity_output *asked) {
    struct link *it = find(asked->run, asked->conn, 1);
    if (asked->kind == PROBITY_OUTPUT_OPEN) open_link(asked);
    else if (asked->kind == PROBITY_OUTPUT_REPORT) tell(asked);
    else if (it == NULL) return; // it has ended since
    else if (asked->kind == PROBITY_OUTPUT_SEND) send_on(it, asked->bytes);
    else if (asked->kind == PROBITY_OUTPUT_FLUSH) it->flushing = 1, flush(it);
    else if (asked->kind == PROBITY_OUTPUT_CLOSE) forget(it);
}

int main(int argc, char **argv) {
    static char text[1 << 20];
    char said[512];
    uint8_t seed[32];
    probity_config config;
    probity_buffer error = {said, sizeof said, 0};
    probity_engine_config with = {.size = sizeof with, .seed = {seed, sizeof seed}, .tls = PROBITY_TLS_LIBRARY, .on_log = listen_to};
    FILE *file = argc > 2 && argc - 3 < MOST ? fopen(argv[1], "r") : NULL;
    if (file == NULL || getrandom(seed, sizeof seed, 0) != sizeof seed) return 2;
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    probity_result parsed = probity_config_parse((probity_text){argv[1], strlen(argv[1])}, (probity_text){text, length},
                                                 PROBITY_FILES_SYSTEM, &config, &error);
    if (parsed != PROBITY_RESULT_OK) return fprintf(stderr, "%s\n", said), 2;
    check(probity_engine_new(&with, now(), &engine), "engine");
    for (int i = 3; i < argc; i++) {
        uint64_t run;
        probity_target target = {.size = sizeof target, .config = config, .module = {argv[2], strlen(argv[2])},
                                 .target = {argv[i], strlen(argv[i])}};
        if (probity_engine_run(engine, &target, now(), &run, &error) != PROBITY_RESULT_OK)
            return fprintf(stderr, "%s: %s\n", argv[i], said), 2;
        asked_for[i - 3].run = run;
        asked_for[i - 3].name = target.target;
    }
    while (reports < (unsigned)(argc - 3)) {
        struct pollfd polled[MOST];
        uint64_t at, moment;
        probity_output asked = {.size = sizeof asked};
        while (probity_engine_output(engine, &asked) == PROBITY_RESULT_OK) carry_out(&asked);
        check(probity_engine_next_timeout(engine, &at), "next time-out");
        for (int i = 0; i < MOST; i++)
            polled[i] = (struct pollfd){.fd = links[i].used ? links[i].fd : -1,
                                        .events = (short)(POLLIN | (links[i].open && links[i].left == 0 && !links[i].error ? 0 : POLLOUT))};
        moment = now();
        poll(polled, MOST, at <= moment ? 0 : at - moment > 1000000000 ? 1000 : (int)((at - moment + 999999) / 1000000));
        for (int i = 0; i < MOST; i++)
            if (polled[i].revents != 0) happened(&links[i]);
        if (at <= now()) check(probity_engine_handle_timeout(engine, now()), "time-out");
    }
    check(probity_engine_free(engine), "free");
    check(probity_config_free(config), "free");
    return bad > 0;
}
