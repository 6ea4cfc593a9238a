// An agent on the library's own threads: it reads targets from standard input, a
// line each, probes every one once a second with the module `argv[1]`, says when
// one goes up or down until it has said so `argv[2]` times, and prints the fleet
// in Prometheus' text format.
//
//     cc agent.c -lprobity -o agent        (or c++)
//     printf 'http://127.0.0.1:8080/\n' | ./agent http_2xx 1
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probity.h"

static void check(probity_result result, const char *what) {
    probity_text text = probity_result_text(result);
    if (result == PROBITY_RESULT_OK) return;
    fprintf(stderr, "%s: %.*s\n", what, (int)text.length, text.data);
    exit(1);
}

static probity_text text(const char *from, size_t length) {
    probity_text it = {from, length};
    return it;
}

int main(int argc, char **argv) {
    char line[1024], said[512];
    unsigned long flips = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    probity_config config;
    probity_driver driver;
    probity_driver_config with;
    probity_buffer error = {said, sizeof said, 0}, page = {NULL, 0, 0};
    struct pollfd waiting;

    if (argc < 2) return 2;
    memset(&with, 0, sizeof with);
    with.size = sizeof with;
    said[0] = 0;
    check(probity_config_parse(text(NULL, 0), text(NULL, 0), PROBITY_FILES_NONE, &config, NULL), "modules");
    check(probity_driver_start(&with, &driver, &error), said);
    while (fgets(line, sizeof line, stdin) != NULL) {
        probity_target target;
        memset(&target, 0, sizeof target);
        target.size = sizeof target;
        target.config = config;
        target.module = text(argv[1], strlen(argv[1]));
        target.target = text(line, strcspn(line, "\n"));
        target.interval = 1000000000;
        check(probity_driver_add(driver, &target, NULL, &error), said);
    }
    check(probity_driver_begin(driver), "begin");
    check(probity_driver_descriptor(driver, &waiting.fd), "descriptor");
    waiting.events = POLLIN;
    while (flips > 0 && poll(&waiting, 1, 60000) > 0) {
        probity_notice notice;
        notice.size = sizeof notice;
        while (flips > 0 && probity_driver_notice(driver, &notice, &error) == PROBITY_RESULT_OK) {
            if (notice.transition == PROBITY_HEALTH_UNKNOWN) continue;
            printf("%016llx %s %s\n", (unsigned long long)notice.target,
                   notice.transition == PROBITY_HEALTH_UP ? "up" : "down", said);
            flips--;
        }
    }
    do { // until it fits: the fleet may have grown meanwhile
        page.capacity = page.length + 1;
        page.data = (char *)realloc(page.data, page.capacity);
        check(probity_driver_render(driver, &page), "render");
    } while (page.length >= page.capacity);
    fputs(page.data, stdout);
    free(page.data);
    check(probity_driver_shutdown(driver, 1000000000), "shutdown");
    check(probity_driver_free(driver), "free");
    check(probity_config_free(config), "free");
    return flips > 0;
}
