// A check again and again over the C ABI, in a world that answers at once: what
// `pieces.rs` does without it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probity.h"

static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

static void check(probity_result result) {
    if (result == PROBITY_RESULT_OK || result == PROBITY_RESULT_NOTHING) return;
    probity_text text = probity_result_text(result);
    fprintf(stderr, "%.*s\n", (int)text.length, text.data);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    unsigned long reports = 0, times = strtoul(argv[3], NULL, 10);
    uint8_t seed[32] = {0};
    probity_config config;
    probity_engine engine;
    probity_engine_config with = {.size = sizeof with, .seed = {seed, sizeof seed}};
    check(probity_config_parse((probity_text){0}, (probity_text){0}, PROBITY_FILES_NONE, &config, NULL));
    check(probity_engine_new(&with, 0, &engine));
    probity_target target = {.size = sizeof target, .config = config, .interval = 1000000000,
                             .timeout = 1000000000, .module = {argv[1], strlen(argv[1])},
                             .target = {argv[2], strlen(argv[2])}};
    check(probity_engine_add(engine, &target, 0, NULL, NULL));
    check(probity_engine_begin(engine, 0));
    probity_bytes answer = {(const uint8_t *)response, sizeof response - 1};
    while (reports < times) {
        uint64_t now;
        probity_output asked = {.size = sizeof asked};
        check(probity_engine_next_timeout(engine, &now));
        check(probity_engine_handle_timeout(engine, now));
        while (probity_engine_output(engine, &asked) == PROBITY_RESULT_OK) {
            switch (asked.kind) {
            case PROBITY_OUTPUT_OPEN:
                check(probity_engine_opened(engine, asked.run, asked.conn, now));
                break;
            case PROBITY_OUTPUT_SEND:
                check(probity_engine_data(engine, asked.run, asked.conn, answer, now));
                break;
            case PROBITY_OUTPUT_REPORT:
                if (asked.report->outcome != PROBITY_OUTCOME_SUCCESS) return 1;
                reports++;
            }
        }
    }
    check(probity_engine_free(engine));
    check(probity_config_free(config));
    return 0;
}
