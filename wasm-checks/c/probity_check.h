/* A check for probity in C: one header, no libc.
 *
 * A check is a small state machine: it is told what happens on a connection, and
 * answers with what is to be done. It has no socket, no clock and no other way
 * to the world. Write
 *
 *     #include "probity_check.h"
 *
 *     struct probity_run { ... };      // one run; all zero at first
 *     PROBITY_CHECK                    // once, behind it
 *
 *     void probity_describe(probity_description *description) { ... }
 *     void probity_open(struct probity_run *run, const probity_context *context) { ... }
 *     void probity_connected(struct probity_run *run, probity_out *out) { ... }
 *     void probity_data(struct probity_run *run, probity_text data, probity_out *out) { ... }
 *
 * and build it with `wasm-checks/build FILE.c` (clang and wasm-ld). The result is
 * a core module with the description of the world `probity:check/plugin` in it,
 * of which probity makes a component. redis.c beside this is a whole check.
 *
 * What is sent or said is copied. What a handler is given is gone when it
 * returns. Data arrives in any pieces.
 */
#ifndef PROBITY_CHECK_H
#define PROBITY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- What goes in and out. These are laid out as the component model wants
 * them; `probity_text` is also a list of bytes. */

typedef struct {
  const char *at;
  size_t length;
} probity_text;

/* A text that is written in the source. */
#define PROBITY_TEXT(literal) ((probity_text){(literal), sizeof(literal) - 1})

typedef enum { PROBITY_GAUGE, PROBITY_COUNTER } probity_kind;

typedef struct {
  probity_text name; /* [a-z][a-z0-9_]*; a counter ends in _total */
  probity_text help;
  uint8_t kind; /* probity_kind */
  const probity_text *labels;
  size_t labels_length; /* at most 4 */
} probity_metric;

typedef struct {
  probity_text name; /* [a-z][a-z0-9-]* */
  probity_text version;
  uint8_t has_default_port;
  uint16_t default_port;
  const probity_metric *metrics;
  size_t metrics_length; /* at most 16 */
  const probity_text *phases;
  size_t phases_length; /* at most 8 */
  probity_text config_schema;
} probity_description;

typedef struct {
  probity_text version; /* TLS 1.3 */
  probity_text cipher;  /* IANA name */
  uint8_t has_alpn;
  probity_text alpn;
  _Alignas(8) uint8_t has_not_after;
  int64_t not_after; /* Unix seconds: the first certificate that ends */
} probity_tls;

typedef struct {
  probity_text host;    /* as the user wrote it */
  probity_text address; /* what it is connected to, without the port */
  uint16_t port;
  probity_text config; /* JSON; probity_validate has taken it */
  uint32_t timeout_ms;
  uint64_t unix_ms;
  uint64_t seed; /* drawn for this run */
  uint8_t has_tls;
  probity_tls tls; /* if the connection is secured from its beginning */
} probity_context;

typedef enum { PROBITY_END, PROBITY_RESET, PROBITY_LOST } probity_close;

typedef enum {
  PROBITY_UNEXPECTED,   /* its protocol, but not what it should say */
  PROBITY_MALFORMED,    /* not its protocol */
  PROBITY_DENIED,       /* wants other credentials */
  PROBITY_NOT_READY,    /* cannot serve yet, or any more */
  PROBITY_SERVER_ERROR, /* an error of its own */
  PROBITY_CLOSED,       /* closed before it had answered */
  PROBITY_TOO_MUCH,     /* sent more than the check can hold */
  PROBITY_TOO_SLOW,     /* not within a time that the check set */
} probity_reason;

/* ---- What a check wants done. At most 32 things for one event, in order; after
 * a verdict nothing is taken any more. */

typedef struct probity_out probity_out;

/* Nanoseconds from the start of the run to this event. */
static uint64_t probity_now_ns(const probity_out *out);

static void probity_send(probity_out *out, probity_text bytes);
/* Secures the connection. Nothing may be sent until probity_secured. */
static void probity_start_tls(probity_out *out);
/* After a millisecond at least. */
static void probity_set_timer(probity_out *out, uint32_t id, uint32_t after_ms);
/* Ends the phase that began at the last mark, or when the connection was up. */
static void probity_mark(probity_out *out, probity_text phase);
/* A number, with a value for each of the metric's labels. */
static void probity_sample(probity_out *out, probity_text metric, double value,
                           const probity_text *labels, size_t labels_length);
static void probity_log(probity_out *out, probity_text line);
static void probity_up(probity_out *out);
/* A sentence, and what it is about, of which unprintable bytes are escaped. */
static void probity_degraded(probity_out *out, probity_reason reason, probity_text sentence,
                             probity_text about);
static void probity_down(probity_out *out, probity_reason reason, probity_text sentence,
                         probity_text about);
static void probity_unknown(probity_out *out, probity_text sentence);
static bool probity_is_done(const probity_out *out);

/* ---- What a check consists of. Those that are weak may be left out. */

struct probity_run;

void probity_describe(probity_description *description);
void probity_open(struct probity_run *run, const probity_context *context);
void probity_data(struct probity_run *run, probity_text data, probity_out *out);

/* What is wrong with a configuration, in one sentence that names the field; of
 * length 0 if nothing is. */
__attribute__((weak)) probity_text probity_validate(probity_text config);
__attribute__((weak)) void probity_connected(struct probity_run *run, probity_out *out);
__attribute__((weak)) void probity_secured(struct probity_run *run, const probity_tls *tls,
                                           probity_out *out);
__attribute__((weak)) void probity_timer(struct probity_run *run, uint32_t id, probity_out *out);
__attribute__((weak)) void probity_closed(struct probity_run *run, probity_close why,
                                          probity_out *out);

/* ---- Texts. */

static inline bool probity_equal(probity_text a, probity_text b) {
  if (a.length != b.length) return false;
  for (size_t i = 0; i < a.length; i++)
    if (a.at[i] != b.at[i]) return false;
  return true;
}

static inline bool probity_starts_with(probity_text text, probity_text head) {
  return text.length >= head.length && probity_equal((probity_text){text.at, head.length}, head);
}

static inline probity_text probity_behind(probity_text text, size_t bytes) {
  if (bytes > text.length) bytes = text.length;
  return (probity_text){text.at + bytes, text.length - bytes};
}

/* ---- Options: the fields of a JSON object, one after the other.
 *
 *     probity_field field = {.rest = context->config};
 *     while (probity_next_field(&field))
 *       if (probity_equal(field.name, PROBITY_TEXT("password"))) ...
 *
 * Ends with `failed` if the text is no object of strings, numbers, booleans and
 * nulls. Strings with escapes in them have `escaped` set: see probity_unescape.
 */
typedef struct {
  probity_text rest;
  probity_text name;
  enum { PROBITY_STRING, PROBITY_NUMBER, PROBITY_TRUE, PROBITY_FALSE, PROBITY_NULL } kind;
  probity_text value; /* of a string without its quotes */
  bool escaped;
  bool failed;
  bool begun;
} probity_field;

static bool probity_next_field(probity_field *field);
/* Writes a string of JSON as text; false if it does not fit or is none. */
static bool probity_unescape(probity_text value, char *to, size_t room, size_t *length);

/* ---- What follows is how a check becomes a module; nothing of it is for
 * authors. */

extern const size_t probity_run_size;
#define PROBITY_CHECK const size_t probity_run_size = sizeof(struct probity_run);

/* Memory: blocks of a power of two, each behind its class, with a list of free
 * ones for each class. It begins behind stack and data, so that a small check
 * stays in its first page. */

#define PROBITY_PAGE 65536u
#define PROBITY_CLASSES 24
/* Before each block: its class, and as much as its alignment needs. */
#define PROBITY_HEADER 16u

extern unsigned char __heap_base;
static uintptr_t probity_next, probity_end;
static void *probity_free_blocks[PROBITY_CLASSES];

static void probity_copy(void *to, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((char *)to)[i] = ((const char *)from)[i];
}

/* Never NULL: without memory the run cannot go on, and the host says so. */
static void *probity_allocate(size_t bytes) {
  unsigned class = 4;
  while (class < PROBITY_CLASSES && ((size_t)1 << class) < bytes) class++;
  if (class == PROBITY_CLASSES) __builtin_trap();
  if (probity_free_blocks[class]) {
    void *block = probity_free_blocks[class];
    probity_free_blocks[class] = *(void **)block;
    return block;
  }
  if (!probity_end) {
    probity_next = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    probity_end = __builtin_wasm_memory_size(0) * PROBITY_PAGE;
  }
  size_t need = PROBITY_HEADER + ((size_t)1 << class);
  if (probity_next + need > probity_end) {
    size_t pages = (probity_next + need - probity_end + PROBITY_PAGE - 1) / PROBITY_PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap();
    probity_end += pages * PROBITY_PAGE;
  }
  *(unsigned *)probity_next = class;
  void *block = (void *)(probity_next + PROBITY_HEADER);
  probity_next += need;
  return block;
}

static void probity_release(const void *block) {
  /* Of nothing, the host gives an address that is none of ours. */
  if ((uintptr_t)block < (uintptr_t)&__heap_base) return;
  unsigned class = *(const unsigned *)((uintptr_t)block - PROBITY_HEADER);
  *(void **)(uintptr_t)block = probity_free_blocks[class];
  probity_free_blocks[class] = (void *)(uintptr_t)block;
}

static void probity_release_text(probity_text text) {
  if (text.length) probity_release(text.at);
}

static probity_text probity_copied(probity_text text) {
  if (!text.length) return (probity_text){(const char *)1, 0};
  char *copy = probity_allocate(text.length);
  probity_copy(copy, text.at, text.length);
  return (probity_text){copy, text.length};
}

/* ---- Actions, laid out as the component model wants them. */

enum {
  PROBITY_DO_SEND,
  PROBITY_DO_START_TLS,
  PROBITY_DO_SET_TIMER,
  PROBITY_DO_MARK,
  PROBITY_DO_SAMPLE,
  PROBITY_DO_LOG,
  PROBITY_DO_DONE,
};

enum { PROBITY_IS_UP, PROBITY_IS_DEGRADED, PROBITY_IS_DOWN, PROBITY_IS_UNKNOWN };

typedef struct {
  uint8_t what;
  union {
    probity_text text; /* send, mark, log */
    struct {
      uint32_t id, after_ms;
    } timer;
    struct {
      probity_text metric;
      double value;
      probity_text *labels;
      size_t labels_length;
    } sample;
    struct {
      uint8_t verdict;
      union {
        struct {
          uint8_t reason;
          probity_text detail;
        } finding;
        probity_text unknown;
      };
    } done;
  };
} probity_action;

_Static_assert(sizeof(probity_action) == 32 && offsetof(probity_action, text) == 8, "action");
_Static_assert(offsetof(probity_action, sample.value) == 16, "sample");
_Static_assert(offsetof(probity_action, done.finding.detail) == 16, "finding");
_Static_assert(offsetof(probity_context, tls) == 56 && sizeof(probity_context) == 104, "context");
_Static_assert(offsetof(probity_tls, not_after) == 40, "tls-info");
_Static_assert(sizeof(probity_description) == 44 && sizeof(probity_metric) == 28, "description");

#define PROBITY_MAX_ACTIONS 33 /* one more than the host takes, so that it sees it */
#define PROBITY_MAX_SENTENCE 256

struct probity_out {
  const probity_action *at; /* the list that is handed out */
  size_t length;
  uint64_t now_ns;
  bool done;
  probity_action actions[PROBITY_MAX_ACTIONS];
};

static probity_out probity_the_out;

__attribute__((unused)) static uint64_t probity_now_ns(const probity_out *out) {
  return out->now_ns;
}

static probity_action *probity_act(probity_out *out, uint8_t what) {
  if (out->done || out->length == PROBITY_MAX_ACTIONS) return NULL;
  probity_action *action = &out->actions[out->length++];
  action->what = what;
  return action;
}

static void probity_act_text(probity_out *out, uint8_t what, probity_text text) {
  probity_action *action = probity_act(out, what);
  if (action) action->text = probity_copied(text);
}

static probity_text probity_cut(probity_text text) {
  if (text.length > PROBITY_MAX_SENTENCE) text.length = PROBITY_MAX_SENTENCE;
  return text;
}

__attribute__((unused)) static void probity_send(probity_out *out, probity_text bytes) {
  probity_act_text(out, PROBITY_DO_SEND, bytes);
}

__attribute__((unused)) static void probity_start_tls(probity_out *out) {
  probity_act(out, PROBITY_DO_START_TLS);
}

__attribute__((unused)) static void probity_set_timer(probity_out *out, uint32_t id,
                                                      uint32_t after_ms) {
  probity_action *action = probity_act(out, PROBITY_DO_SET_TIMER);
  if (action) action->timer.id = id, action->timer.after_ms = after_ms;
}

__attribute__((unused)) static void probity_mark(probity_out *out, probity_text phase) {
  probity_act_text(out, PROBITY_DO_MARK, phase);
}

__attribute__((unused)) static void probity_sample(probity_out *out, probity_text metric,
                                                   double value, const probity_text *labels,
                                                   size_t labels_length) {
  probity_action *action = probity_act(out, PROBITY_DO_SAMPLE);
  if (!action) return;
  probity_text *copies = (probity_text *)4;
  if (labels_length) copies = probity_allocate(labels_length * sizeof *copies);
  for (size_t i = 0; i < labels_length; i++) copies[i] = probity_copied(labels[i]);
  action->sample.metric = probity_copied(metric);
  action->sample.value = value;
  action->sample.labels = copies;
  action->sample.labels_length = labels_length;
}

__attribute__((unused)) static void probity_log(probity_out *out, probity_text line) {
  probity_act_text(out, PROBITY_DO_LOG, probity_cut(line));
}

static void probity_done(probity_out *out, uint8_t verdict, probity_reason reason,
                         probity_text detail) {
  probity_action *action = probity_act(out, PROBITY_DO_DONE);
  if (!action) return;
  action->done.verdict = verdict;
  if (verdict == PROBITY_IS_UNKNOWN) {
    action->done.unknown = probity_copied(detail);
  } else if (verdict != PROBITY_IS_UP) {
    action->done.finding.reason = (uint8_t)reason;
    action->done.finding.detail = probity_copied(detail);
  }
  out->done = true;
}

__attribute__((unused)) static void probity_up(probity_out *out) {
  probity_done(out, PROBITY_IS_UP, PROBITY_UNEXPECTED, PROBITY_TEXT(""));
}

__attribute__((unused)) static void probity_unknown(probity_out *out, probity_text sentence) {
  probity_done(out, PROBITY_IS_UNKNOWN, PROBITY_UNEXPECTED, probity_cut(sentence));
}

static void probity_found(probity_out *out, uint8_t verdict, probity_reason reason,
                          probity_text sentence, probity_text about) {
  static const char digits[] = "0123456789abcdef";
  char text[PROBITY_MAX_SENTENCE];
  size_t length = 0;
  for (size_t i = 0; i < sentence.length && length < sizeof text; i++)
    text[length++] = sentence.at[i];
  for (size_t i = 0; i < about.length && length + 4 <= sizeof text; i++) {
    unsigned char byte = (unsigned char)about.at[i];
    if (byte >= 0x20 && byte < 0x7f) {
      text[length++] = (char)byte;
    } else {
      text[length++] = '\\';
      text[length++] = 'x';
      text[length++] = digits[byte >> 4];
      text[length++] = digits[byte & 15];
    }
  }
  probity_done(out, verdict, reason, (probity_text){text, length});
}

__attribute__((unused)) static void probity_degraded(probity_out *out, probity_reason reason,
                                                     probity_text sentence, probity_text about) {
  probity_found(out, PROBITY_IS_DEGRADED, reason, sentence, about);
}

__attribute__((unused)) static void probity_down(probity_out *out, probity_reason reason,
                                                 probity_text sentence, probity_text about) {
  probity_found(out, PROBITY_IS_DOWN, reason, sentence, about);
}

__attribute__((unused)) static bool probity_is_done(const probity_out *out) { return out->done; }

/* ---- JSON. */

static void probity_skip(probity_text *rest) {
  while (rest->length && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\n' ||
                          *rest->at == '\r'))
    *rest = probity_behind(*rest, 1);
}

static bool probity_take(probity_text *rest, char wanted) {
  probity_skip(rest);
  if (!rest->length || *rest->at != wanted) return false;
  *rest = probity_behind(*rest, 1);
  return true;
}

/* A string, between its quotes. */
static bool probity_take_string(probity_text *rest, probity_text *text, bool *escaped) {
  *escaped = false;
  if (!probity_take(rest, '"')) return false;
  for (size_t i = 0; i < rest->length; i++) {
    if (rest->at[i] == '"') {
      *text = (probity_text){rest->at, i};
      *rest = probity_behind(*rest, i + 1);
      return true;
    }
    if (rest->at[i] == '\\') *escaped = true, i++;
  }
  return false;
}

static bool probity_take_field(probity_field *field) {
  probity_text *rest = &field->rest;
  if (!probity_take_string(rest, &field->name, &field->escaped) || !probity_take(rest, ':'))
    return false;
  probity_skip(rest);
  if (rest->length && *rest->at == '"') {
    field->kind = PROBITY_STRING;
    return probity_take_string(rest, &field->value, &field->escaped);
  }
  size_t length = 0;
  while (length < rest->length && rest->at[length] != ',' && rest->at[length] != '}' &&
         rest->at[length] != ' ' && rest->at[length] != '\n' && rest->at[length] != '\r' &&
         rest->at[length] != '\t')
    length++;
  field->value = (probity_text){rest->at, length};
  field->escaped = false;
  *rest = probity_behind(*rest, length);
  if (probity_equal(field->value, PROBITY_TEXT("true")))
    field->kind = PROBITY_TRUE;
  else if (probity_equal(field->value, PROBITY_TEXT("false")))
    field->kind = PROBITY_FALSE;
  else if (probity_equal(field->value, PROBITY_TEXT("null")))
    field->kind = PROBITY_NULL;
  else if (length && (*field->value.at == '-' || (*field->value.at >= '0' && *field->value.at <= '9')))
    field->kind = PROBITY_NUMBER;
  else
    return false;
  return true;
}

__attribute__((unused)) static bool probity_next_field(probity_field *field) {
  if (field->failed) return false;
  if (!field->begun) {
    field->begun = true;
    if (!probity_take(&field->rest, '{')) return field->failed = true, false;
    if (probity_take(&field->rest, '}')) return false;
  } else {
    if (probity_take(&field->rest, '}')) return false;
    if (!probity_take(&field->rest, ',')) return field->failed = true, false;
  }
  if (!probity_take_field(field)) return field->failed = true, false;
  return true;
}

static int probity_hex(probity_text text) {
  int value = 0;
  if (text.length < 4) return -1;
  for (size_t i = 0; i < 4; i++) {
    char digit = text.at[i];
    int low = digit >= '0' && digit <= '9'   ? digit - '0'
              : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
              : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                             : -1;
    if (low < 0) return -1;
    value = value * 16 + low;
  }
  return value;
}

__attribute__((unused)) static bool probity_unescape(probity_text value, char *to, size_t room,
                                                     size_t *length) {
  static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
  *length = 0;
  while (value.length) {
    char bytes[4] = {*value.at};
    size_t count = 1, used = 1;
    if (*value.at == '\\') {
      if (value.length < 2) return false;
      used = 2;
      if (value.at[1] == 'u') {
        int32_t point = probity_hex(probity_behind(value, 2));
        used = 6;
        if (point >= 0xd800 && point < 0xdc00) {
          probity_text second = probity_behind(value, 6);
          int32_t low = probity_starts_with(second, PROBITY_TEXT("\\u"))
                            ? probity_hex(probity_behind(second, 2)) : -1;
          if (low < 0xdc00 || low > 0xdfff) return false;
          point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
          used = 12;
        }
        if (point < 0 || (point >= 0xdc00 && point < 0xe000)) return false;
        if (point < 0x80) {
          bytes[0] = (char)point;
        } else if (point < 0x800) {
          count = 2, bytes[0] = (char)(0xc0 | point >> 6);
        } else if (point < 0x10000) {
          count = 3, bytes[0] = (char)(0xe0 | point >> 12);
        } else {
          count = 4, bytes[0] = (char)(0xf0 | point >> 18);
        }
        for (size_t i = 1; i < count; i++)
          bytes[i] = (char)(0x80 | ((point >> 6 * (int)(count - 1 - i)) & 0x3f));
      } else {
        size_t i = 0;
        while (from[i] && from[i] != value.at[1]) i++;
        if (!from[i]) return false;
        bytes[0] = into[i];
      }
    }
    if (*length + count > room) return false;
    probity_copy(to + *length, bytes, count);
    *length += count;
    value = probity_behind(value, used);
  }
  return true;
}

/* ---- The exports of the world, with the names and flat parameters that the
 * canonical ABI gives them. */

#define PROBITY_GUEST "probity:check/guest@0.1.0#"

__attribute__((import_module("[export]probity:check/guest@0.1.0"),
               import_name("[resource-new]session"))) extern int32_t
probity_session_new(void *run);

__attribute__((export_name("cabi_realloc"))) void *probity_realloc(void *old, size_t old_bytes,
                                                                   size_t align, size_t bytes) {
  (void)align;
  if (!bytes) return (void *)align;
  void *block = probity_allocate(bytes);
  if (old_bytes) {
    probity_copy(block, old, old_bytes < bytes ? old_bytes : bytes);
    probity_release(old);
  }
  return block;
}

__attribute__((export_name(PROBITY_GUEST "describe"))) const probity_description *
probity_export_describe(void) {
  static probity_description description;
  probity_describe(&description);
  return &description;
}

typedef struct {
  uint8_t failed;
  probity_text why;
} probity_validity;

__attribute__((export_name(PROBITY_GUEST "validate"))) const probity_validity *
probity_export_validate(const char *at, size_t length) {
  static probity_validity validity;
  static char sentence[PROBITY_MAX_SENTENCE];
  probity_text config = {at, length}, why = {(const char *)1, 0};
  if (probity_validate) why = probity_cut(probity_validate(config));
  /* It may be a part of the configuration, which is given back here. */
  probity_copy(sentence, why.at, why.length);
  validity.failed = why.length != 0;
  validity.why = (probity_text){sentence, why.length};
  probity_release_text(config);
  return &validity;
}

__attribute__((export_name(PROBITY_GUEST "[constructor]session"))) int32_t
probity_export_session(const probity_context *context) {
  char *run = probity_allocate(probity_run_size);
  for (size_t i = 0; i < probity_run_size; i++) run[i] = 0;
  probity_open((struct probity_run *)run, context);
  probity_release_text(context->host);
  probity_release_text(context->address);
  probity_release_text(context->config);
  if (context->has_tls) {
    probity_release_text(context->tls.version);
    probity_release_text(context->tls.cipher);
    if (context->tls.has_alpn) probity_release_text(context->tls.alpn);
  }
  probity_release(context);
  return probity_session_new(run);
}

__attribute__((export_name(PROBITY_GUEST "[dtor]session"))) void probity_export_end(void *run) {
  probity_release(run);
}

/* The parameters of all events in the same places: data is a pointer and a
 * length, a timer its number, `closed` why; the handshake takes all. */
__attribute__((export_name(PROBITY_GUEST "[method]session.on-event"))) const probity_out *
probity_export_on_event(struct probity_run *run, uint64_t now_ns, uint32_t event, uint32_t p0,
                        uint32_t p1, uint32_t p2, uint32_t p3, uint32_t p4, uint32_t p5,
                        uint32_t p6, uint32_t p7, int64_t p8) {
  probity_out *out = &probity_the_out;
  out->now_ns = now_ns;
  out->at = out->actions;
  out->length = 0;
  out->done = false;
  probity_text first = {(const char *)(uintptr_t)p0, p1};
  switch (event) {
    case 0:
      if (probity_connected) probity_connected(run, out);
      break;
    case 1:
      probity_data(run, first, out);
      probity_release_text(first);
      break;
    case 2: {
      probity_tls tls = {first, {(const char *)(uintptr_t)p2, p3}, (uint8_t)p4,
                         {(const char *)(uintptr_t)p5, p6}, (uint8_t)p7, p8};
      if (probity_secured) probity_secured(run, &tls, out);
      probity_release_text(tls.version);
      probity_release_text(tls.cipher);
      if (tls.has_alpn) probity_release_text(tls.alpn);
      break;
    }
    case 3:
      if (probity_timer) probity_timer(run, p0, out);
      break;
    default:
      if (probity_closed) probity_closed(run, (probity_close)p0, out);
  }
  return out;
}

/* The host has read what on-event gave. */
__attribute__((export_name("cabi_post_" PROBITY_GUEST "[method]session.on-event"))) void
probity_export_read(probity_out *out) {
  for (size_t i = 0; i < out->length; i++) {
    probity_action *action = &out->actions[i];
    switch (action->what) {
      case PROBITY_DO_SEND:
      case PROBITY_DO_MARK:
      case PROBITY_DO_LOG:
        probity_release_text(action->text);
        break;
      case PROBITY_DO_SAMPLE:
        for (size_t j = 0; j < action->sample.labels_length; j++)
          probity_release_text(action->sample.labels[j]);
        if (action->sample.labels_length) probity_release(action->sample.labels);
        probity_release_text(action->sample.metric);
        break;
      case PROBITY_DO_DONE:
        if (action->done.verdict == PROBITY_IS_UNKNOWN)
          probity_release_text(action->done.unknown);
        else if (action->done.verdict != PROBITY_IS_UP)
          probity_release_text(action->done.finding.detail);
    }
  }
  out->length = 0;
}

/* The world, as `wit-bindgen` writes it into modules: a custom section by which
 * probity makes a component of this one. `wasm-checks/build --world` writes it
 * anew. */
__asm__(
  ".section \".custom_section.component-type:probity-check\",\"\",@\n"
  "  .byte 0,97,115,109,13,0,1,0,0,25,22,119,105,116,45,99,111,109,112,111,110,101,110,116\n"
  "  .byte 45,101,110,99,111,100,105,110,103,4,0,7,229,8,1,65,2,1,65,8,1,66,35,1\n"
  "  .byte 109,2,5,103,97,117,103,101,7,99,111,117,110,116,101,114,4,0,11,109,101,116,114,105\n"
  "  .byte 99,45,107,105,110,100,3,0,0,1,112,115,1,114,4,4,110,97,109,101,115,4,104,101\n"
  "  .byte 108,112,115,4,107,105,110,100,1,6,108,97,98,101,108,115,2,4,0,6,109,101,116,114\n"
  "  .byte 105,99,3,0,3,1,107,123,1,112,4,1,114,6,4,110,97,109,101,115,7,118,101,114\n"
  "  .byte 115,105,111,110,115,12,100,101,102,97,117,108,116,45,112,111,114,116,5,7,109,101,116,114\n"
  "  .byte 105,99,115,6,6,112,104,97,115,101,115,2,13,99,111,110,102,105,103,45,115,99,104,101\n"
  "  .byte 109,97,115,4,0,11,100,101,115,99,114,105,112,116,105,111,110,3,0,7,1,114,3,4\n"
  "  .byte 104,111,115,116,115,7,97,100,100,114,101,115,115,115,4,112,111,114,116,123,4,0,6,116\n"
  "  .byte 97,114,103,101,116,3,0,9,1,112,125,1,107,11,1,107,120,1,114,4,7,118,101,114\n"
  "  .byte 115,105,111,110,115,6,99,105,112,104,101,114,115,4,97,108,112,110,12,9,110,111,116,45\n"
  "  .byte 97,102,116,101,114,13,4,0,8,116,108,115,45,105,110,102,111,3,0,14,1,107,15,1\n"
  "  .byte 114,6,6,116,97,114,103,101,116,10,6,99,111,110,102,105,103,115,10,116,105,109,101,111\n"
  "  .byte 117,116,45,109,115,121,7,117,110,105,120,45,109,115,119,4,115,101,101,100,119,3,116,108\n"
  "  .byte 115,16,4,0,7,99,111,110,116,101,120,116,3,0,17,1,109,3,3,101,110,100,5,114\n"
  "  .byte 101,115,101,116,4,108,111,115,116,4,0,5,99,108,111,115,101,3,0,19,1,113,5,9\n"
  "  .byte 99,111,110,110,101,99,116,101,100,0,0,4,100,97,116,97,1,11,0,7,115,101,99,117\n"
  "  .byte 114,101,100,1,15,0,5,116,105,109,101,114,1,121,0,6,99,108,111,115,101,100,1,20\n"
  "  .byte 0,4,0,5,101,118,101,110,116,3,0,21,1,114,2,2,105,100,121,8,97,102,116,101\n"
  "  .byte 114,45,109,115,121,4,0,5,116,105,109,101,114,3,0,23,1,114,3,6,109,101,116,114\n"
  "  .byte 105,99,115,5,118,97,108,117,101,117,6,108,97,98,101,108,115,2,4,0,6,115,97,109\n"
  "  .byte 112,108,101,3,0,25,1,109,8,10,117,110,101,120,112,101,99,116,101,100,9,109,97,108\n"
  "  .byte 102,111,114,109,101,100,6,100,101,110,105,101,100,9,110,111,116,45,114,101,97,100,121,12\n"
  "  .byte 115,101,114,118,101,114,45,101,114,114,111,114,6,99,108,111,115,101,100,8,116,111,111,45\n"
  "  .byte 109,117,99,104,8,116,111,111,45,115,108,111,119,4,0,6,114,101,97,115,111,110,3,0\n"
  "  .byte 27,1,114,2,6,114,101,97,115,111,110,28,6,100,101,116,97,105,108,115,4,0,7,102\n"
  "  .byte 105,110,100,105,110,103,3,0,29,1,113,4,2,117,112,0,0,8,100,101,103,114,97,100\n"
  "  .byte 101,100,1,30,0,4,100,111,119,110,1,30,0,7,117,110,107,110,111,119,110,1,115,0\n"
  "  .byte 4,0,7,111,117,116,99,111,109,101,3,0,31,1,113,7,4,115,101,110,100,1,11,0\n"
  "  .byte 9,115,116,97,114,116,45,116,108,115,0,0,9,115,101,116,45,116,105,109,101,114,1,24\n"
  "  .byte 0,4,109,97,114,107,1,115,0,6,115,97,109,112,108,101,1,26,0,3,108,111,103,1\n"
  "  .byte 115,0,4,100,111,110,101,1,32,0,4,0,6,97,99,116,105,111,110,3,0,33,3,0\n"
  "  .byte 25,112,114,111,98,105,116,121,58,99,104,101,99,107,47,116,121,112,101,115,64,48,46,49\n"
  "  .byte 46,48,5,0,2,3,0,0,11,100,101,115,99,114,105,112,116,105,111,110,2,3,0,0\n"
  "  .byte 7,99,111,110,116,101,120,116,2,3,0,0,5,101,118,101,110,116,2,3,0,0,6,97\n"
  "  .byte 99,116,105,111,110,1,66,21,2,3,2,1,1,4,0,11,100,101,115,99,114,105,112,116\n"
  "  .byte 105,111,110,3,0,0,2,3,2,1,2,4,0,7,99,111,110,116,101,120,116,3,0,2\n"
  "  .byte 2,3,2,1,3,4,0,5,101,118,101,110,116,3,0,4,2,3,2,1,4,4,0,6\n"
  "  .byte 97,99,116,105,111,110,3,0,6,4,0,7,115,101,115,115,105,111,110,3,1,1,105,8\n"
  "  .byte 1,64,1,3,99,116,120,3,0,9,4,0,20,91,99,111,110,115,116,114,117,99,116,111\n"
  "  .byte 114,93,115,101,115,115,105,111,110,1,10,1,104,8,1,112,7,1,64,3,4,115,101,108\n"
  "  .byte 102,11,6,110,111,119,45,110,115,119,2,101,118,5,0,12,4,0,24,91,109,101,116,104\n"
  "  .byte 111,100,93,115,101,115,115,105,111,110,46,111,110,45,101,118,101,110,116,1,13,1,64,0\n"
  "  .byte 0,1,4,0,8,100,101,115,99,114,105,98,101,1,14,1,106,0,1,115,1,64,1,6\n"
  "  .byte 99,111,110,102,105,103,115,0,15,4,0,8,118,97,108,105,100,97,116,101,1,16,4,0\n"
  "  .byte 25,112,114,111,98,105,116,121,58,99,104,101,99,107,47,103,117,101,115,116,64,48,46,49\n"
  "  .byte 46,48,5,5,4,0,26,112,114,111,98,105,116,121,58,99,104,101,99,107,47,112,108,117\n"
  "  .byte 103,105,110,64,48,46,49,46,48,4,0,11,12,1,0,6,112,108,117,103,105,110,3,0\n"
  "  .byte 0,0,71,9,112,114,111,100,117,99,101,114,115,1,12,112,114,111,99,101,115,115,101,100\n"
  "  .byte 45,98,121,2,13,119,105,116,45,99,111,109,112,111,110,101,110,116,7,48,46,50,53,56\n"
  "  .byte 46,51,16,119,105,116,45,98,105,110,100,103,101,110,45,114,117,115,116,6,48,46,54,49\n"
  "  .byte 46,49\n"
  ".text\n");

#endif
