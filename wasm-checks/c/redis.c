/* Redis in C: the check of ../redis, held to the same transcript. */
#include "probity_check.h"

#define MAX_STRING 4096 /* bytes of a string or a line */
#define MAX_TOKENS 1024 /* values of one answer */
#define MAX_WORD 512    /* bytes of a name or a password */

enum role { ANY, MASTER, REPLICA, SENTINEL };

static const probity_text roles[] = {
  PROBITY_TEXT(""),
  PROBITY_TEXT("master"),
  PROBITY_TEXT("replica"),
  PROBITY_TEXT("sentinel"),
};

struct options {
  char username[MAX_WORD], password[MAX_WORD];
  size_t username_length, password_length;
  bool has_username, has_password;
  enum role role;
};

enum state { AUTH, PING, ROLE };

struct probity_run {
  struct options options;
  enum state state;
  /* What arrived of a line or string, and whether its header was read. */
  char held[MAX_STRING];
  size_t length;
  bool in_string;
  size_t string_length;
  /* The answer to ROLE: values read and missing, and what they said. */
  size_t tokens, missing;
  enum role role;
  bool is_error, connected, well_formed;
  int64_t offset;
  size_t replicas;
};

PROBITY_CHECK

/* ---- RESP2. */

enum kind { SIMPLE, ERROR, NUMBER, STRING, NOTHING, ARRAY };

struct token {
  enum kind kind;
  probity_text text;
  int64_t number;
};

static bool number(probity_text digits, int64_t *value) {
  bool negative = digits.length && *digits.at == '-';
  if (negative) digits = probity_behind(digits, 1);
  if (!digits.length || digits.length > 18) return false;
  *value = 0;
  for (size_t i = 0; i < digits.length; i++) {
    if (digits.at[i] < '0' || digits.at[i] > '9') return false;
    *value = *value * 10 + (digits.at[i] - '0');
  }
  if (negative) *value = -*value;
  return true;
}

static void too_much(probity_out *out) {
  probity_down(out, PROBITY_TOO_MUCH, PROBITY_TEXT("a message of more than 4096 bytes"),
               PROBITY_TEXT(""));
}

static void malformed(probity_out *out, probity_text sentence, probity_text about) {
  probity_down(out, PROBITY_MALFORMED, sentence, about);
}

/* The header of a token, which is a line; true if it is a whole token. */
static bool header(struct probity_run *run, probity_text line, struct token *token,
                   probity_out *out) {
  probity_text rest = probity_behind(line, 1);
  token->text = rest;
  switch (line.length ? *line.at : 0) {
    case '+': token->kind = SIMPLE; return true;
    case '-': token->kind = ERROR; return true;
    case ':':
    case '$':
    case '*': break;
    default: malformed(out, PROBITY_TEXT("not RESP: "), line); return false;
  }
  if (!number(rest, &token->number)) {
    malformed(out, PROBITY_TEXT("expected a number, found "), rest);
    return false;
  }
  if (*line.at == ':') {
    token->kind = NUMBER;
    return true;
  }
  bool is_array = *line.at == '*';
  if (token->number == -1) {
    token->kind = NOTHING;
    return true;
  }
  if (token->number < 0) {
    malformed(out, PROBITY_TEXT("a length of "), rest);
    return false;
  }
  if (token->number > (is_array ? MAX_TOKENS : MAX_STRING - 2)) {
    too_much(out);
    return false;
  }
  token->kind = ARRAY;
  if (is_array) return true;
  run->in_string = true;
  run->string_length = (size_t)token->number;
  return false;
}

/* Adds bytes until a token is whole; takes them off `data`. */
static bool next(struct probity_run *run, probity_text *data, struct token *token,
                 probity_out *out) {
  while (data->length && !probity_is_done(out)) {
    if (run->length == MAX_STRING) {
      too_much(out);
      return false;
    }
    char byte = *data->at;
    *data = probity_behind(*data, 1);
    run->held[run->length++] = byte;
    if (run->in_string) {
      if (run->length < run->string_length + 2) continue;
      probity_text end = {run->held + run->string_length, 2};
      if (!probity_equal(end, PROBITY_TEXT("\r\n"))) {
        malformed(out, PROBITY_TEXT("a string that is longer than it says"), PROBITY_TEXT(""));
        return false;
      }
      token->kind = STRING;
      token->text = (probity_text){run->held, run->string_length};
      run->in_string = false;
      run->length = 0;
      return true;
    }
    if (byte != '\n') continue;
    probity_text line = {run->held, run->length - 1};
    if (line.length && line.at[line.length - 1] == '\r') line.length--;
    run->length = 0;
    if (header(run, line, token, out)) return true;
  }
  return false;
}

static size_t decimal(size_t value, char digits[20]) {
  size_t length = 1, at;
  for (size_t rest = value; rest >= 10; rest /= 10) length++;
  for (at = length; at > 0; value /= 10) digits[--at] = (char)('0' + value % 10);
  return length;
}

/* Appends to a command that is made on the stack. */
struct command {
  char bytes[2 * MAX_WORD + 128];
  size_t length;
};

static void add(struct command *command, probity_text text) {
  for (size_t i = 0; i < text.length && command->length < sizeof command->bytes; i++)
    command->bytes[command->length++] = text.at[i];
}

static void add_length(struct command *command, char kind, size_t length) {
  char digits[20];
  add(command, (probity_text){&kind, 1});
  add(command, (probity_text){digits, decimal(length, digits)});
  add(command, PROBITY_TEXT("\r\n"));
}

static void add_word(struct command *command, probity_text word) {
  add_length(command, '$', word.length);
  add(command, word);
  add(command, PROBITY_TEXT("\r\n"));
}

static void say(probity_text word, probity_out *out) {
  struct command command;
  command.length = 0;
  add_length(&command, '*', 1);
  add_word(&command, word);
  probity_send(out, (probity_text){command.bytes, command.length});
}

/* ---- What answers mean. */

/* The first word of an error says. */
static void refused(probity_text text, probity_out *out) {
  static const probity_text denied[] = {
    PROBITY_TEXT("NOAUTH "), PROBITY_TEXT("WRONGPASS "), PROBITY_TEXT("NOPERM "),
    PROBITY_TEXT("DENIED "), PROBITY_TEXT("ERR invalid password"),
  };
  static const probity_text not_ready[] = {
    PROBITY_TEXT("LOADING "), PROBITY_TEXT("MASTERDOWN "), PROBITY_TEXT("BUSY "),
    PROBITY_TEXT("CLUSTERDOWN "), PROBITY_TEXT("TRYAGAIN "),
    PROBITY_TEXT("ERR max number of clients"),
  };
  probity_reason reason = PROBITY_SERVER_ERROR;
  for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
    if (probity_starts_with(text, denied[i])) reason = PROBITY_DENIED;
  for (size_t i = 0; i < sizeof not_ready / sizeof *not_ready; i++)
    if (probity_starts_with(text, not_ready[i])) reason = PROBITY_NOT_READY;
  probity_down(out, reason, PROBITY_TEXT(""), text);
}

static bool expected(const struct token *token, probity_text word, probity_out *out) {
  if (token->kind == SIMPLE && probity_equal(token->text, word)) return true;
  if (token->kind == ERROR)
    refused(token->text, out);
  else if (token->kind == STRING)
    probity_down(out, PROBITY_UNEXPECTED, PROBITY_TEXT("another answer: the string "), token->text);
  else
    probity_down(out, PROBITY_UNEXPECTED, PROBITY_TEXT("another answer: "), token->text);
  return false;
}

/* One value of the answer to ROLE; which one, tells its number. */
static void role_token(struct probity_run *run, const struct token *token, probity_out *out) {
  size_t at = run->tokens++;
  run->missing--;
  if (token->kind == ARRAY) run->missing += (size_t)token->number;
  if (run->tokens + run->missing > MAX_TOKENS) {
    probity_down(out, PROBITY_TOO_MUCH, PROBITY_TEXT("an answer of more than 1024 values"),
                 PROBITY_TEXT(""));
    return;
  }
  if (at == 0) {
    if (token->kind == ERROR) refused(token->text, out);
    run->is_error = token->kind != ARRAY;
  } else if (at == 1 && token->kind == STRING) {
    run->role = probity_equal(token->text, PROBITY_TEXT("master"))     ? MASTER
                : probity_equal(token->text, PROBITY_TEXT("slave"))    ? REPLICA
                : probity_equal(token->text, PROBITY_TEXT("sentinel")) ? SENTINEL
                                                                       : ANY;
    run->well_formed = run->role == SENTINEL;
    if (run->role == ANY)
      probity_down(out, PROBITY_UNEXPECTED, PROBITY_TEXT("the role is "), token->text);
  } else if (run->role == MASTER && at == 2 && token->kind == NUMBER) {
    run->offset = token->number;
  } else if (run->role == MASTER && at == 3 && token->kind == ARRAY) {
    run->replicas = (size_t)token->number;
    run->well_formed = true;
  } else if (run->role == REPLICA && at == 4 && token->kind == STRING) {
    run->connected = probity_equal(token->text, PROBITY_TEXT("connected"));
  } else if (run->role == REPLICA && at == 5 && token->kind == NUMBER) {
    run->offset = token->number;
    run->well_formed = true;
  }
}

static void role_is_known(struct probity_run *run, probity_out *out) {
  if (run->is_error || run->role == ANY || !run->well_formed) {
    malformed(out, PROBITY_TEXT("the answer to ROLE has not the fields of a role"),
              PROBITY_TEXT(""));
    return;
  }
  probity_mark(out, PROBITY_TEXT("role"));
  probity_sample(out, PROBITY_TEXT("role"), 1, &roles[run->role], 1);
  if (run->role == REPLICA)
    probity_sample(out, PROBITY_TEXT("replica_connected"), run->connected, NULL, 0);
  if (run->role != SENTINEL)
    probity_sample(out, PROBITY_TEXT("replication_offset_bytes"), (double)run->offset, NULL, 0);
  if (run->role == MASTER)
    probity_sample(out, PROBITY_TEXT("replicas"), (double)run->replicas, NULL, 0);
  if (run->role != run->options.role) {
    static const probity_text sentences[] = {
      PROBITY_TEXT(""),
      PROBITY_TEXT("expected a master, found a "),
      PROBITY_TEXT("expected a replica, found a "),
      PROBITY_TEXT("expected a sentinel, found a "),
    };
    probity_down(out, PROBITY_UNEXPECTED, sentences[run->options.role], roles[run->role]);
  } else if (run->role == REPLICA && !run->connected) {
    probity_down(out, PROBITY_NOT_READY,
                 PROBITY_TEXT("the replica is not connected to its master"), PROBITY_TEXT(""));
  } else {
    probity_up(out);
  }
}

/* ---- The check. */

void probity_describe(probity_description *description) {
  static const probity_text phases[] = {
    PROBITY_TEXT("auth"), PROBITY_TEXT("ping"), PROBITY_TEXT("role"),
  };
  static const probity_text role_label[] = {PROBITY_TEXT("role")};
  static const probity_metric metrics[] = {
    {PROBITY_TEXT("role"),
     PROBITY_TEXT("1 for what the server is: master, replica or sentinel."), PROBITY_GAUGE,
     role_label, 1},
    {PROBITY_TEXT("replicas"), PROBITY_TEXT("Replicas that are connected to the master."),
     PROBITY_GAUGE, NULL, 0},
    {PROBITY_TEXT("replica_connected"),
     PROBITY_TEXT("Whether the replica is connected to its master."), PROBITY_GAUGE, NULL, 0},
    {PROBITY_TEXT("replication_offset_bytes"),
     PROBITY_TEXT("How far the server is in the stream of its replication."), PROBITY_GAUGE, NULL,
     0},
  };
  *description = (probity_description){
    .name = PROBITY_TEXT("redis-c"),
    .version = PROBITY_TEXT("0.1.0"),
    .has_default_port = 1,
    .default_port = 6379,
    .metrics = metrics,
    .metrics_length = sizeof metrics / sizeof *metrics,
    .phases = phases,
    .phases_length = sizeof phases / sizeof *phases,
  };
}

static bool take_word(const probity_field *field, char *to, size_t *length, bool *has) {
  if (field->kind == PROBITY_NULL) return true;
  *has = true;
  return field->kind == PROBITY_STRING && probity_unescape(field->value, to, MAX_WORD, length);
}

static probity_text read_options(probity_text config, struct options *options) {
  probity_field field = {.rest = config};
  while (probity_next_field(&field)) {
    if (probity_equal(field.name, PROBITY_TEXT("username"))) {
      if (!take_word(&field, options->username, &options->username_length, &options->has_username))
        return PROBITY_TEXT("username: expected a string of at most 512 bytes");
    } else if (probity_equal(field.name, PROBITY_TEXT("password"))) {
      if (!take_word(&field, options->password, &options->password_length, &options->has_password))
        return PROBITY_TEXT("password: expected a string of at most 512 bytes");
    } else if (probity_equal(field.name, PROBITY_TEXT("role"))) {
      for (enum role role = MASTER; role <= SENTINEL; role++)
        if (field.kind == PROBITY_STRING && probity_equal(field.value, roles[role]))
          options->role = role;
      if (options->role == ANY && field.kind != PROBITY_NULL)
        return PROBITY_TEXT("role: expected `master`, `replica` or `sentinel`");
    } else {
      static char sentence[128];
      size_t length = 0;
      probity_text parts[] = {
        PROBITY_TEXT("unknown field `"), field.name,
        PROBITY_TEXT("`, expected `username`, `password` or `role`"),
      };
      if (parts[1].length > 48) parts[1].length = 48;
      for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < parts[i].length; j++) sentence[length++] = parts[i].at[j];
      return (probity_text){sentence, length};
    }
  }
  if (field.failed) return PROBITY_TEXT("expected an object of strings");
  if (options->has_username && !options->has_password)
    return PROBITY_TEXT("username: there is no password for it");
  return PROBITY_TEXT("");
}

probity_text probity_validate(probity_text config) {
  static struct options options;
  options = (struct options){.role = ANY};
  return read_options(config, &options);
}

void probity_open(struct probity_run *run, const probity_context *context) {
  read_options(context->config, &run->options);
  run->state = PING;
  run->missing = 1;
}

void probity_connected(struct probity_run *run, probity_out *out) {
  const struct options *options = &run->options;
  if (!options->has_password) {
    say(PROBITY_TEXT("PING"), out);
    return;
  }
  struct command command;
  command.length = 0;
  add_length(&command, '*', options->has_username ? 3 : 2);
  add_word(&command, PROBITY_TEXT("AUTH"));
  if (options->has_username)
    add_word(&command, (probity_text){options->username, options->username_length});
  add_word(&command, (probity_text){options->password, options->password_length});
  probity_send(out, (probity_text){command.bytes, command.length});
  run->state = AUTH;
}

void probity_data(struct probity_run *run, probity_text data, probity_out *out) {
  struct token token;
  while (!probity_is_done(out) && next(run, &data, &token, out)) {
    switch (run->state) {
      case AUTH:
        if (!expected(&token, PROBITY_TEXT("OK"), out)) break;
        probity_mark(out, PROBITY_TEXT("auth"));
        say(PROBITY_TEXT("PING"), out);
        run->state = PING;
        break;
      case PING:
        if (!expected(&token, PROBITY_TEXT("PONG"), out)) break;
        probity_mark(out, PROBITY_TEXT("ping"));
        if (run->options.role == ANY) {
          probity_up(out);
        } else {
          say(PROBITY_TEXT("ROLE"), out);
          run->state = ROLE;
        }
        break;
      case ROLE:
        role_token(run, &token, out);
        if (!run->missing && !probity_is_done(out)) role_is_known(run, out);
    }
  }
}
