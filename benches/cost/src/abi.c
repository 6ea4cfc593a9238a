// Checks again and again over the C ABI, in a world that answers at once: what
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
    if (argc < 4 || argc % 2) return 2;
    unsigned long reports = 0, times = strtoul(argv[argc - 1], NULL, 10);
    uint8_t seed[32] = {0};
    probity_config config;
    probity_engine engine;
    probity_engine_config with = {.size = sizeof with, .seed = {seed, sizeof seed}};
    check(probity_config_parse((probity_text){0}, (probity_text){0}, PROBITY_FILES_NONE, &config, NULL));
    check(probity_engine_new(&with, 0, &engine));
    for (int i = 1; i + 2 < argc; i += 2) {
        probity_target target = {.size = sizeof target, .config = config, .id = (uint64_t)i, .interval = 1000000000,
                                 .timeout = 1000000000, .module = {argv[i], strlen(argv[i])},
                                 .target = {argv[i + 1], strlen(argv[i + 1])}};
        check(probity_engine_add(engine, &target, 0, NULL, NULL));
    }
    check(probity_engine_begin(engine, 0));
    probity_bytes answer = {(const uint8_t *)response, sizeof response - 1};
    // As an agent does it, whose clock goes on to the next time that something is due
    // as soon as all has been told.
    probity_output outputs[32];
    outputs[0].size = sizeof outputs[0];
    double sum = 0;
    for (uint64_t now = 0; reports < times;) {
        size_t length;
        uint64_t next;
        int told = 0;
        check(probity_engine_step(engine, now, outputs, 32, &length, &next));
        for (size_t i = 0; i < length; i++) {
            const probity_output *asked = &outputs[i];
            switch (asked->kind) {
            case PROBITY_OUTPUT_OPEN:
                check(probity_engine_opened(engine, asked->run, asked->conn, now));
                told = 1;
                break;
            case PROBITY_OUTPUT_SEND:
                check(probity_engine_data(engine, asked->run, asked->conn, answer, now));
                told = 1;
                break;
            case PROBITY_OUTPUT_REPORT:
                if (asked->report->outcome != PROBITY_OUTCOME_SUCCESS) return 1;
                for (size_t fact = 0; fact < asked->report->facts_length; fact++)
                    sum += asked->report->facts[fact].value;
                reports++;
            }
        }
        if (!told && next > now) now = next;
    }
    if (sum < 0) return 1; // somebody reads them
    check(probity_engine_free(engine));
    check(probity_config_free(config));
    return 0;
}
