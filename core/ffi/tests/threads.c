// What hosts may do at the same time, for ThreadSanitizer: see ../tsan.
//
//     threads calls SECONDS [URL...]  drivers that are called by many threads while
//                                     they probe, stop and are freed; URLs beside
//                                     the ones of its own server
//     threads engines                 engines of many threads, and one for all
//     threads race                    a host's mistake: it has to be reported
//     threads serve                   prints the port of an HTTP server, until it is killed
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probity.h"

enum { TARGETS = 24, FREERS = 2, ROOM = 1 << 20 };

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "threads.c:%d: expected %s\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)
#define OK(call) CHECK((call) == PROBITY_RESULT_OK)

static probity_text text(const char *from) {
    probity_text it = {from, strlen(from)};
    return it;
}

static pthread_t spawn(void *(*body)(void *), void *with) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, with) == 0);
    return thread;
}

static void join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

// ---- A server that answers every request with 200.

struct server {
    int listener;
    int port;
    pthread_t thread;
};

static void *serve(void *with) {
    static const char ANSWER[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    const struct server *server = with;
    int peer;
    while ((peer = accept(server->listener, NULL, NULL)) >= 0) {
        char request[4096];
        // A peer that leaves is no concern of ours.
        if (recv(peer, request, sizeof request, 0) > 0)
            send(peer, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
        close(peer);
    }
    return NULL;
}

static void server_start(struct server *server) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(server->listener, (struct sockaddr *)&at, length) == 0);
    CHECK(listen(server->listener, 128) == 0);
    CHECK(getsockname(server->listener, (struct sockaddr *)&at, &length) == 0);
    server->port = ntohs(at.sin_port);
    server->thread = spawn(serve, server);
}

static void server_end(struct server *server) {
    shutdown(server->listener, SHUT_RDWR);
    join(server->thread);
    close(server->listener);
}

// ---- What a host shares between its threads and with callbacks.

// Handed to the callbacks of a driver, and gone as soon as that is freed: who is called
// after that, or has not been waited for, is reported.
struct told {
    struct host *host;
    unsigned long notices; // a driver tells of one after another
    _Atomic unsigned long lines;
};

struct host {
    probity_driver driver;
    probity_config modules, jobs[2];
    struct told *told;
    char urls[TARGETS][64]; // every third is down
    const char **more;
    int more_count;
    atomic_int leaving; // nobody may wait for the descriptor any more
    atomic_ulong asked, done, secured, copies, copied, pages, taken;
    atomic_int freed;
};

static probity_config parse(const char *from) {
    probity_config config;
    char said[512] = "";
    probity_buffer error = {said, sizeof said, 0};
    probity_result result =
        probity_config_parse(text("threads"), text(from), PROBITY_FILES_NONE, &config, &error);
    if (result != PROBITY_RESULT_OK) fprintf(stderr, "%s\n", said);
    OK(result);
    return config;
}

// Two sets of jobs that have some targets in common, and modules.
static void configure(struct host *host, int port) {
    static const char HEAD[] = "modules: {page: {prober: http, timeout: 2s}, tls: {prober: http, "
                               "timeout: 5s, http: {tls_config: {insecure_skip_verify: true}}}}\n";
    for (int i = 0; i < TARGETS; i++)
        snprintf(host->urls[i], sizeof host->urls[i], "http://127.0.0.1:%d/%d", i % 3 ? port : 1, i);
    for (int set = 0; set < 2; set++) {
        char file[8192];
        int length = snprintf(file, sizeof file,
                              "%sjobs: [{job_name: j, module: page, interval: 100ms, "
                              "static_configs: [{targets: [",
                              HEAD);
        for (int i = set * TARGETS / 3; i < TARGETS * (2 + set) / 3; i++)
            length += snprintf(file + length, sizeof file - length, "'%s',", host->urls[i]);
        snprintf(file + length, sizeof file - length, "]}]}]\n");
        host->jobs[set] = parse(file);
    }
    host->modules = parse(HEAD);
}

static probity_target target(const struct host *host, unsigned number) {
    const char *url = host->urls[number % TARGETS];
    probity_target it;
    if (host->more_count > 0 && number % 4 == 0) url = host->more[number / 4 % host->more_count];
    memset(&it, 0, sizeof it);
    it.size = sizeof it;
    it.config = host->modules;
    it.module = text(strncmp(url, "https:", 6) == 0 ? "tls" : "page");
    it.target = text(url);
    it.interval = 50000000;
    return it;
}

// Whether to go on. A driver that another thread stops or frees has to say so.
static int goes_on(probity_result result) {
    if (result == PROBITY_RESULT_BAD_HANDLE) return 0;
    CHECK(result == PROBITY_RESULT_OK || result == PROBITY_RESULT_NOTHING
          || result == PROBITY_RESULT_UNAVAILABLE);
    usleep(500);
    return 1;
}

// ---- Callbacks, which call back.

static void on_log(void *context, const probity_log *log) {
    struct told *told = context;
    uint64_t now;
    CHECK(log->message.length > 0);
    told->lines++;
    CHECK(probity_driver_now(told->host->driver, &now) != PROBITY_RESULT_OK);
}

static void on_notice(void *context, const probity_notice *notice) {
    struct told *told = context;
    struct host *host = told->host;
    probity_target wanted = target(host, (unsigned)notice->at);
    uint64_t now = 0;
    probity_result result = probity_driver_now(host->driver, &now);
    CHECK(result == PROBITY_RESULT_BAD_HANDLE || (result == PROBITY_RESULT_OK && now > 0));
    goes_on(probity_driver_add(host->driver, &wanted, NULL, NULL));
    told->notices++;
}

struct run {
    struct host *host;
    char *place; // plain memory: whoever reads it later must have been told
};

static void on_done(void *context, const probity_report *report) {
    struct run *run = context;
    uint64_t lost;
    CHECK(report->size == sizeof *report);
    goes_on(probity_driver_lost(run->host->driver, &lost));
    if (report->tls != NULL && report->outcome == PROBITY_OUTCOME_SUCCESS) run->host->secured++;
    run->host->done++;
    free(run->place);
    free(run);
}

static void on_state(void *context, const probity_target_state *state) {
    struct host *host = context;
    uint64_t now;
    if (state == NULL) host->copied++;
    else CHECK(state->size == sizeof *state);
    goes_on(probity_driver_now(host->driver, &now));
}

// ---- Threads, of which each does one thing until the driver is gone.

static void *applies(void *with) {
    struct host *host = with;
    for (unsigned i = 0; goes_on(probity_driver_apply(host->driver, host->jobs[i % 2])); i++);
    return NULL;
}

static void *adds(void *with) {
    struct host *host = with;
    for (unsigned i = 0;; i++) {
        probity_target wanted = target(host, i);
        char said[200];
        probity_buffer error = {said, sizeof said, 0};
        uint64_t id;
        probity_result result = probity_driver_add(host->driver, &wanted, &id, &error);
        if (!goes_on(result)) return NULL;
        if (result == PROBITY_RESULT_OK && i % 2
            && !goes_on(probity_driver_remove(host->driver, id)))
            return NULL;
        wanted.target = text("http://[/"); // refused, with a line in the log
        result = probity_driver_add(host->driver, &wanted, &id, &error);
        if (result == PROBITY_RESULT_BAD_HANDLE) return NULL;
        CHECK(result == PROBITY_RESULT_BAD_ARGUMENT);
    }
}

static void *renders(void *with) {
    struct host *host = with;
    probity_buffer page = {malloc(ROOM), ROOM, 0};
    probity_result result;
    while (goes_on(result = probity_driver_render(host->driver, &page)))
        if (result == PROBITY_RESULT_OK && strstr(page.data, "probe_success{") != NULL) host->pages++;
    free(page.data);
    return NULL;
}

static void *copies(void *with) {
    struct host *host = with;
    probity_result result;
    do {
        // A driver makes so many at once, and those who render want some too.
        if (host->copies > host->copied + 8) {
            result = probity_driver_begin(host->driver);
            continue;
        }
        result = probity_driver_fleet(host->driver, on_state, host);
        if (result == PROBITY_RESULT_OK) host->copies++;
    } while (goes_on(result));
    return NULL;
}

static void *runs(void *with) {
    struct host *host = with;
    probity_result result;
    unsigned i = 0;
    do {
        probity_target wanted = target(host, i++);
        struct run *run = malloc(sizeof *run);
        run->host = host;
        run->place = malloc(16);
        memset(run->place, 1, 16);
        result = probity_driver_run(host->driver, &wanted, on_done, run, NULL);
        if (result == PROBITY_RESULT_OK) host->asked++;
        else free(run->place), free(run);
    } while (goes_on(result));
    return NULL;
}

// Parses and frees what others use the like of.
static void *parses(void *with) {
    struct host *host = with;
    size_t count;
    do {
        probity_config config = parse("modules: {m: {prober: tcp}}");
        OK(probity_config_targets(config, &count));
        OK(probity_config_free(config));
        OK(probity_config_targets(host->jobs[0], &count));
    } while (goes_on(probity_driver_begin(host->driver)));
    return NULL;
}

// Takes notices as an event loop does.
static void *takes(void *with) {
    struct host *host = with;
    struct pollfd waiting = {.events = POLLIN};
    OK(probity_driver_descriptor(host->driver, &waiting.fd));
    while (!host->leaving) {
        probity_notice notice = {.size = sizeof notice};
        char said[200];
        probity_buffer detail = {said, sizeof said, 0};
        poll(&waiting, 1, 20);
        while (goes_on(probity_driver_notice(host->driver, &notice, &detail)) && !host->leaving)
            host->taken++;
    }
    return NULL;
}

static void *frees(void *with) {
    struct host *host = with;
    probity_result result = probity_driver_free(host->driver);
    CHECK(result == PROBITY_RESULT_OK || result == PROBITY_RESULT_BAD_HANDLE);
    if (result == PROBITY_RESULT_OK) {
        // Nobody is being called, nor will be.
        CHECK(host->told->lines > 0);
        free(host->told);
        host->freed++;
    }
    return NULL;
}

// ---- Scenes.

static void start(struct host *host, int callback) {
    probity_driver_config with;
    host->told = calloc(1, sizeof *host->told);
    host->told->host = host;
    memset(&with, 0, sizeof with);
    with.size = sizeof with;
    with.workers = 2;
    with.in_flight = 64;
    with.on_notice = callback ? on_notice : NULL;
    with.context = host->told;
    with.on_log = on_log;
    with.log_context = host->told;
    host->driver.bits = 0;
    OK(probity_driver_start(&with, &host->driver, NULL));
}

// One driver from its start to its end.
static void life(struct host *host, int callback, int in_order, useconds_t time) {
    void *(*const all[])(void *) = {applies, adds, renders, copies, runs, parses, renders, runs};
    enum { ALL = sizeof all / sizeof *all };
    pthread_t threads[ALL], freers[FREERS], taker;
    host->leaving = host->freed = 0;
    start(host, callback);
    OK(probity_driver_begin(host->driver));
    for (int i = 0; i < ALL; i++) threads[i] = spawn(all[i], host);
    if (!callback) taker = spawn(takes, host);
    usleep(time);
    host->leaving = 1;
    if (!callback) join(taker);
    if (in_order) OK(probity_driver_shutdown(host->driver, 100000000));
    for (int i = 0; i < FREERS; i++) freers[i] = spawn(frees, host);
    for (int i = 0; i < FREERS; i++) join(freers[i]);
    for (int i = 0; i < ALL; i++) join(threads[i]);
    CHECK(host->freed == 1);
    CHECK(host->asked == host->done);
    CHECK(host->copies == host->copied);
}

static int calls(useconds_t time, const char **more, int more_count) {
    struct host *host = calloc(1, sizeof *host);
    struct server server;
    host->more = more;
    host->more_count = more_count;
    server_start(&server);
    configure(host, server.port);
    for (int way = 0; way < 4; way++) life(host, way & 1, way & 2, time);
    // Short lives, which end in the middle of everything.
    for (int i = 0; i < 40; i++) life(host, i & 1, i & 2, (useconds_t)(i * 500));
    // Else it would not have looked at much.
    CHECK(host->done > 0 && host->copied > 0 && host->pages > 0 && host->taken > 0);
    CHECK(host->secured > 0 || more_count == 0);
    printf("%lu runs (%lu with TLS), %lu copies, %lu pages, %lu notices\n", host->done, host->secured,
           host->copied, host->pages, host->taken);
    for (int set = 0; set < 2; set++) OK(probity_config_free(host->jobs[set]));
    OK(probity_config_free(host->modules));
    server_end(&server);
    free(host);
    return 0;
}

// ---- Engines: handles, and the library's TLS, of which engines share what it has read.

static _Atomic uint64_t shared;

static probity_engine engine(void) {
    static const uint8_t SEED[32] = {7};
    probity_engine_config with;
    probity_engine made;
    memset(&with, 0, sizeof with);
    with.size = sizeof with;
    with.seed.data = SEED;
    with.seed.length = sizeof SEED;
    with.tls = PROBITY_TLS_LIBRARY;
    OK(probity_engine_new(&with, 0, &made));
    return made;
}

// Whose peer says nothing: every run sends its first bytes and is timed out.
static void probe(probity_engine mine, probity_config modules) {
    probity_target wanted;
    unsigned sent = 0, reports = 0;
    uint64_t now = 0;
    memset(&wanted, 0, sizeof wanted);
    wanted.size = sizeof wanted;
    wanted.config = modules;
    wanted.module = text("http_2xx");
    wanted.target = text("https://192.0.2.7/");
    OK(probity_engine_add(mine, &wanted, now, NULL, NULL));
    OK(probity_engine_begin(mine, now));
    while (reports == 0) {
        probity_output outputs[8];
        uint64_t next;
        size_t length;
        outputs[0].size = sizeof outputs[0];
        OK(probity_engine_step(mine, now, outputs, 8, &length, &next));
        for (size_t i = 0; i < length; i++) {
            const probity_output *it = &outputs[i];
            if (it->kind == PROBITY_OUTPUT_OPEN) OK(probity_engine_opened(mine, it->run, it->conn, now));
            if (it->kind == PROBITY_OUTPUT_SEND) sent += it->bytes.data[0] == 22; // a handshake
            if (it->kind == PROBITY_OUTPUT_REPORT) reports++;
        }
        // After outputs it may have more to say.
        if (length == 0 && next > now) now = next;
    }
    CHECK(sent > 0);
}

static void *has_engines(void *with) {
    probity_config modules = *(probity_config *)with;
    for (int i = 0; i < 100; i++) {
        probity_engine mine = engine(), other;
        probity_output outputs[4];
        uint64_t now;
        size_t length;
        probity_result result;
        probe(mine, modules);
        for (int again = 0; again < 20; again++) {
            other.bits = shared;
            outputs[0].size = sizeof outputs[0];
            switch (again % 3) {
            case 0: result = probity_engine_handle_timeout(other, 0); break;
            case 1: result = probity_engine_next_timeout(other, &now); break;
            default: result = probity_engine_step(other, 0, outputs, 4, &length, &now);
            }
            CHECK(result == PROBITY_RESULT_OK || result == PROBITY_RESULT_IN_USE
                  || result == PROBITY_RESULT_NOTHING || result == PROBITY_RESULT_BAD_HANDLE);
        }
        // Mine is everybody's, and what was is nobody's.
        other.bits = atomic_exchange(&shared, mine.bits);
        OK(probity_engine_free(other));
        CHECK(probity_engine_begin(other, 0) == PROBITY_RESULT_BAD_HANDLE);
    }
    return NULL;
}

static int engines(void) {
    probity_config modules = parse("");
    probity_engine last;
    pthread_t threads[4];
    shared = engine().bits;
    for (int i = 0; i < 4; i++) threads[i] = spawn(has_engines, &modules);
    for (int i = 0; i < 4; i++) join(threads[i]);
    last.bits = shared;
    OK(probity_engine_free(last));
    OK(probity_config_free(modules));
    return 0;
}

// ---- The mistake: a place is read while the library may write to it. Who reads makes no
// call that would order the two by chance.

static volatile uint64_t place;

static void *asks(void *with) {
    probity_driver driver = *(probity_driver *)with;
    for (int i = 0; i < 100; i++) OK(probity_driver_now(driver, (uint64_t *)&place));
    return NULL;
}

static int race(void) {
    struct host host = {0};
    pthread_t thread;
    start(&host, 0);
    thread = spawn(asks, &host.driver);
    while (place == 0);
    join(thread);
    OK(probity_driver_free(host.driver));
    free(host.told);
    return 0;
}

static int serve_until_killed(void) {
    struct server server;
    server_start(&server);
    printf("%d\n", server.port);
    fflush(stdout);
    join(server.thread);
    return 0;
}

int main(int argc, const char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "calls") == 0 && argc > 2)
        return calls((useconds_t)(atof(argv[2]) * 1e6), argv + 3, argc - 3);
    if (strcmp(what, "engines") == 0) return engines();
    if (strcmp(what, "race") == 0) return race();
    if (strcmp(what, "serve") == 0) return serve_until_killed();
    fprintf(stderr, "threads: expected calls SECONDS [URL...], engines, race or serve\n");
    return 2;
}
