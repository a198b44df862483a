/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"
#include "nearest.h"
#include "time_text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MAX_FILE_BYTES = 1 << 20, MAX_SECRET_BYTES = 64 << 10, HELP_COLUMN = 30, HELP_WIDTH = 100 };

/* A value that was given, and who gave it last. */
struct given {
    const char *text; /* NULL = not given */
    const char *from; /* "argument --x", "POLKU_X", "FILE:LINE", "default" */
};

struct parser {
    const struct option_set *set;
    const char *command;
    struct pk_arena *arena;
    struct pk_err *err;
    struct given *given; /* one per option */
    const char *config, *config_from;
    struct options_result result;
};

/* ---- names ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* What a user writes: secrets are given as `<name>-file`. */
const char *options_written_name(const struct option *option, char buf[64])
{
    bool file = option->type == OPTION_SECRET_FILE && !ends_with(option->name, "-file");
    snprintf(buf, 64, "%s%s", option->name, file ? "-file" : "");
    return buf;
}

static const char *env_name(const struct option_set *set, const struct option *option, char buf[96])
{
    char name[64];
    size_t used = (size_t)snprintf(buf, 96, "%s%s", set->env_prefix, options_written_name(option, name));
    for (size_t i = 0; i < used && i < 95; i++)
        buf[i] = buf[i] == '-' ? '_' : (char)toupper((unsigned char)buf[i]);
    return buf;
}

bool options_belongs(const struct option *option, const char *command)
{
    if (!command || strcmp(option->commands, "*") == 0)
        return true;
    size_t len = strlen(command);
    for (const char *at = option->commands; *at;) {
        size_t word = strcspn(at, " ");
        if (word == len && memcmp(at, command, len) == 0)
            return true;
        at += word;
        at += strspn(at, " ");
    }
    return false;
}

static const struct option *find(const struct option_set *set, const char *name)
{
    char buf[64];
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(options_written_name(&set->option[i], buf), name) == 0)
            return &set->option[i];
    return NULL;
}

static enum pk_status unknown(struct parser *parser, const char *from, const char *name)
{
    const struct option_set *set = parser->set;
    for (size_t i = 0; i < set->count; i++)
        if (set->option[i].type == OPTION_SECRET_FILE && strcmp(set->option[i].name, name) == 0)
            return pk_fail(parser->err, PK_REJECT, "%s: %s is a secret; put it into a file and name that with %s-file",
                           from, name, name);
    const char **known = pk_arena_alloc(parser->arena, (set->count + 2) * sizeof *known);
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (options_belongs(&set->option[i], parser->command))
            known[count++] = options_written_name(&set->option[i], pk_arena_alloc(parser->arena, 64));
    known[count++] = "config";
    known[count++] = "help";
    const char *nearest = nearest_name(pk_str(name), known, count);
    return pk_fail(parser->err, PK_REJECT, "%s: unknown option '%.100s'%s%s%s", from, name,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static const char *arena_printf(struct pk_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *arena_printf(struct pk_arena *arena, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pk_arena_str(arena, pk_str(text)).ptr;
}

/* ---- secrets ---- */

/* By how they end, so that a newer librdkafka's are known too. `sasl.oauthbearer.config` may hold one. */
bool options_kafka_secret(const char *name)
{
    static const char *const end[] = {"password", "secret", "passphrase", "key.pem", "sasl.oauthbearer.config"};
    for (size_t i = 0; i < PK_COUNT(end); i++)
        if (ends_with(name, end[i]))
            return true;
    return false;
}

/* Is `name` a secret property with "-file" behind it? */
static bool kafka_secret_file(const char *name, char ret_property[100])
{
    if (!ends_with(name, "-file") || strlen(name) >= 100)
        return false;
    snprintf(ret_property, 100, "%.*s", (int)(strlen(name) - strlen("-file")), name);
    return options_kafka_secret(ret_property);
}

/* ---- sources ---- */

static void give(struct parser *parser, const struct option *option, const char *from, const char *text)
{
    parser->given[option - parser->set->option] = (struct given){text, from};
}

static enum pk_status give_kafka(struct parser *parser, const char *from, const char *name, const char *value)
{
    name += strlen("kafka.");
    if (*name == '\0')
        return pk_fail(parser->err, PK_REJECT, "%s: kafka. needs the name of a librdkafka property", from);
    if (options_kafka_secret(name))
        return pk_fail(parser->err, PK_REJECT, "%s: kafka.%s is a secret; put it into a file and name that with kafka.%s-file",
                       from, name, name);
    for (size_t i = 0; i < parser->result.kafka.len; i++)
        if (strcmp(parser->result.kafka.ptr[i].name, name) == 0) {
            parser->result.kafka.ptr[i].value = value;
            return PK_OK;
        }
    *pk_vec_push(&parser->result.kafka) = (struct kafka_property){name, value};
    return PK_OK;
}

static enum pk_status read_file(const char *path, size_t max, struct pk_buf *text, struct pk_err *err)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return pk_fail(err, PK_REJECT, "cannot open %s: %s", path, strerror(errno));
    pk_buf_reserve(text, max + 1);
    text->len = fread(text->ptr, 1, max + 1, in);
    bool failed = ferror(in);
    int why = errno;
    fclose(in);
    text->ptr[PK_MIN(text->len, max)] = '\0';
    if (failed)
        return pk_fail(err, PK_REJECT, "cannot read %s: %s", path, strerror(why));
    if (text->len > max)
        return pk_fail(err, PK_REJECT, "%s is larger than %zu bytes", path, max);
    if (memchr(text->ptr, '\0', text->len))
        return pk_fail(err, PK_REJECT, "%s holds a NUL character", path);
    return PK_OK;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
    return text;
}

static enum pk_status read_config_line(struct parser *parser, const char *from, char *line)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return PK_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return pk_fail(parser->err, PK_REJECT, "%s: expected 'name = value'", from);
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    if (strncmp(name, "kafka.", 6) == 0)
        return give_kafka(parser, from, name, value);
    const struct option *option = find(parser->set, name);
    if (!option || strcmp(name, "config") == 0)
        return unknown(parser, from, name);
    give(parser, option, from, value);
    return PK_OK;
}

static enum pk_status read_config(struct parser *parser)
{
    if (!parser->config)
        return PK_OK;
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    struct pk_err why;
    if (read_file(parser->config, MAX_FILE_BYTES, &text, &why) != PK_OK)
        return pk_fail(parser->err, PK_REJECT, "%s: %.450s", parser->config_from, why.text);
    char *line = pk_arena_copy(parser->arena, text.ptr, text.len + 1); /* values stay in it */
    for (int number = 1; line; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        const char *from = arena_printf(parser->arena, "%s:%d", parser->config, number);
        enum pk_status status = read_config_line(parser, from, line);
        if (status != PK_OK)
            return status;
        line = next;
    }
    return PK_OK;
}

/* Other variables of the prefix are left alone: container platforms put their own there. */
static enum pk_status read_environment(struct parser *parser)
{
    char buf[96];
    for (size_t i = 0; i < parser->set->count; i++) {
        const struct option *option = &parser->set->option[i];
        const char *value = getenv(env_name(parser->set, option, buf));
        if (value)
            give(parser, option, pk_arena_str(parser->arena, pk_str(buf)).ptr, pk_arena_str(parser->arena, pk_str(value)).ptr);
        if (option->type != OPTION_SECRET_FILE || ends_with(option->name, "-file") || !options_belongs(option, parser->command))
            continue;
        buf[strlen(buf) - strlen("_FILE")] = '\0';
        if (getenv(buf))
            return pk_fail(parser->err, PK_REJECT, "%s: a secret in the environment; put it into a file and name that with %s_FILE", buf,
                           buf);
    }
    return PK_OK;
}

/* One argument that starts with "--". Returns how many words it took in *ret_words.
 * With `only_config` nothing but --config is looked at: the file must be read first. */
static enum pk_status read_argument(struct parser *parser, int left, char *const argv[], bool only_config,
                                    int *ret_words)
{
    const char *equals = strchr(argv[0], '=');
    size_t len = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);
    char *name = (char *)pk_arena_copy(parser->arena, argv[0] + 2, len - 1);
    name[len - 2] = '\0';
    const char *from = arena_printf(parser->arena, "argument --%.100s", name), *value = equals ? equals + 1 : NULL;
    *ret_words = 1;

    bool kafka = strncmp(name, "kafka.", 6) == 0, config = strcmp(name, "config") == 0;
    const struct option *option = kafka ? NULL : find(parser->set, name);
    if (!option && strncmp(name, "no-", 3) == 0 && !value) {
        option = find(parser->set, name + 3);
        if (option && option->type == OPTION_BOOL)
            value = "false";
        else
            option = NULL;
    }
    if (!option && !kafka && !config)
        return unknown(parser, from, name);
    if (option && option->type == OPTION_BOOL && !value)
        value = "true";
    if (!value) {
        if (left < 2)
            return pk_fail(parser->err, PK_REJECT, "%s: needs a value", from);
        value = argv[1];
        *ret_words = 2;
    }
    value = pk_arena_str(parser->arena, pk_str(value)).ptr;
    if (config)
        parser->config = value, parser->config_from = from;
    if (only_config)
        return PK_OK;
    if (kafka)
        return give_kafka(parser, from, name, value);
    if (option && !options_belongs(option, parser->command))
        return pk_fail(parser->err, PK_REJECT, "%s: belongs to the command %s, not to %s", from, option->commands,
                       parser->command);
    if (option)
        give(parser, option, from, value);
    return PK_OK;
}

static enum pk_status read_arguments(struct parser *parser, int argc, char *const argv[], bool only_config)
{
    bool options_end = false;
    for (int i = 0, words; i < argc; i += words) {
        words = 1;
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            parser->result.help = true;
        } else if (!options_end && strncmp(argv[i], "--", 2) == 0) {
            enum pk_status status = read_argument(parser, argc - i, argv + i, only_config, &words);
            if (status != PK_OK)
                return status;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
            return pk_fail(parser->err, PK_REJECT, "argument %.100s: options start with two dashes", argv[i]);
        } else if (!only_config) {
            *pk_vec_push(&parser->result.rest) = argv[i];
        }
    }
    return PK_OK;
}

/* ---- values ---- */

union value {
    const char *text;
    int64_t number;
    bool flag;
};

static bool parse_whole(const char *text, const char **ret_end, int64_t *ret_number)
{
    char *end;
    const char *digits = text + (*text == '-');
    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno == ERANGE)
        return false;
    *ret_end = end;
    *ret_number = number;
    return true;
}

static const char *parse_bytes(const char *text, int64_t *ret_bytes)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } unit[] = {
        {"", 1},
        {"B", 1},
        {"kB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"KiB", INT64_C(1) << 10},
        {"MiB", INT64_C(1) << 20},
        {"GiB", INT64_C(1) << 30},
        {"TiB", INT64_C(1) << 40},
    };
    const char *rest;
    int64_t count;
    if (!parse_whole(text, &rest, &count) || count < 0)
        return "not a size: write it as 200MiB, 64KiB or a number of bytes";
    rest += strspn(rest, " ");
    for (size_t i = 0; i < PK_COUNT(unit); i++)
        if (strcmp(rest, unit[i].name) == 0)
            return __builtin_mul_overflow(count, unit[i].bytes, ret_bytes) ? "too large" : NULL;
    return "an unknown unit: use KiB, MiB, GiB or kB, MB, GB";
}

static const char *parse_flag(const char *text, bool *ret_flag)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < PK_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0)
            continue;
        *ret_flag = strcmp(text, yes[i]) == 0;
        return NULL;
    }
    return "not true or false";
}

static void print_number(const struct option *option, int64_t number, char out[32])
{
    static const struct unit {
        int64_t size;
        const char *name;
    } bytes[] = {{INT64_C(1) << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}},
      time[] = {{PK_DAY_US, "d"}, {PK_HOUR_US, "h"}, {60 * PK_SECOND_US, "m"}, {PK_SECOND_US, "s"}, {1000, "ms"},
                {1, "us"}};
    const struct unit *unit = option->type == OPTION_BYTES ? bytes : time;
    size_t count = option->type == OPTION_BYTES      ? PK_COUNT(bytes)
                   : option->type == OPTION_DURATION ? PK_COUNT(time)
                                                     : 0;
    for (size_t i = 0; i < count && number; i++)
        if (number % unit[i].size == 0) {
            snprintf(out, 32, "%" PRId64 "%s", number / unit[i].size, unit[i].name);
            return;
        }
    snprintf(out, 32, "%" PRId64, number);
}

bool options_range(const struct option *option, char out[80])
{
    char min[32], max[32];
    print_number(option, option->min, min);
    print_number(option, option->max, max);
    snprintf(out, 80, "%s..%s", min, option->max ? max : "");
    return option->type == OPTION_INT || option->type == OPTION_BYTES || option->type == OPTION_DURATION;
}

/* Whoever may log in could read it. A group may be meant to: containers get their secrets that way. */
static void look_who_reads(struct parser *parser, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode) || !(about.st_mode & (S_IROTH | S_IWOTH)))
        return;
    const char *before = parser->result.exposed;
    parser->result.exposed = arena_printf(parser->arena, "%s%s%s", before ? before : "", before ? ", " : "", path);
}

static enum pk_status read_secret(struct parser *parser, const char *from, const char *path, const char **ret_text)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    struct pk_err why;
    if (read_file(path, MAX_SECRET_BYTES, &text, &why) != PK_OK)
        return pk_fail(parser->err, PK_REJECT, "%s: %.450s", from, why.text);
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (text.len == 0)
        return pk_fail(parser->err, PK_REJECT, "%s: %s is empty", from, path);
    *ret_text = pk_arena_str(parser->arena, (struct pk_str){text.ptr, text.len}).ptr;
    explicit_bzero(text.ptr, text.cap);
    look_who_reads(parser, path);
    return PK_OK;
}

/* `kafka.X-file` becomes X with what the file holds; a command that does not use Kafka reads none. */
static enum pk_status read_kafka_secrets(struct parser *parser)
{
    const struct option *brokers = find(parser->set, "brokers");
    bool used = brokers && options_belongs(brokers, parser->command);
    size_t kept = 0;
    for (size_t i = 0; i < parser->result.kafka.len; i++) {
        struct kafka_property property = parser->result.kafka.ptr[i];
        char name[100];
        if (kafka_secret_file(property.name, name)) {
            if (!used)
                continue;
            const char *from = arena_printf(parser->arena, "kafka.%s", property.name);
            enum pk_status status = read_secret(parser, from, property.value, &property.value);
            if (status != PK_OK)
                return status;
            property.name = pk_arena_str(parser->arena, pk_str(name)).ptr;
        }
        parser->result.kafka.ptr[kept++] = property;
    }
    parser->result.kafka.len = kept;
    return PK_OK;
}

static enum pk_status convert(struct parser *parser, const struct option *option, const struct given *given,
                              union value *ret_value)
{
    struct pk_err why = {0};
    const char *problem = NULL, *rest;
    union value value = {0};
    switch (option->type) {
    case OPTION_TEXT:
        ret_value->text = given->text;
        return PK_OK;
    case OPTION_SECRET_FILE:
        return given->text ? read_secret(parser, given->from, given->text, &ret_value->text) : (ret_value->text = NULL, PK_OK);
    case OPTION_BOOL:
        problem = given->text ? parse_flag(given->text, &value.flag) : NULL;
        break;
    case OPTION_INT:
        if (given->text && (!parse_whole(given->text, &rest, &value.number) || *rest))
            problem = "not a whole number";
        break;
    case OPTION_BYTES:
        problem = given->text ? parse_bytes(given->text, &value.number) : NULL;
        break;
    case OPTION_DURATION:
        if (given->text && time_parse_duration(pk_str(given->text), &value.number, &why) != PK_OK)
            problem = why.text;
        break;
    }
    if (problem)
        return pk_fail(parser->err, PK_REJECT, "%s: '%.100s' is %s", given->from, given->text, problem);
    if (option->type != OPTION_BOOL && given->text &&
        (value.number < option->min || (option->max && value.number > option->max))) {
        char min[32], max[32];
        print_number(option, option->min, min);
        print_number(option, option->max, max);
        return pk_fail(parser->err, PK_REJECT, "%s: '%.100s' is out of range, at least %s%s%s", given->from, given->text,
                       min, option->max ? ", at most " : "", option->max ? max : "");
    }
    *ret_value = value;
    return PK_OK;
}

static void store(const struct option *option, const union value *value, void *values)
{
    void *member = (char *)values + option->offset;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_SECRET_FILE:
        memcpy(member, &value->text, sizeof value->text);
        break;
    case OPTION_BOOL:
        memcpy(member, &value->flag, sizeof value->flag);
        break;
    case OPTION_INT:
    case OPTION_BYTES:
    case OPTION_DURATION:
        memcpy(member, &value->number, sizeof value->number);
        break;
    }
}

/* A secret of another command is not read: its file may be out of reach for this one. */
static enum pk_status convert_all(struct parser *parser, void *ret_values)
{
    const struct option_set *set = parser->set;
    union value *value = PK_NEW_ARRAY(parser->arena, union value, set->count);
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->option[i];
        if (option->type == OPTION_SECRET_FILE && !options_belongs(option, parser->command))
            continue;
        enum pk_status status = convert(parser, option, &parser->given[i], &value[i]);
        if (status != PK_OK)
            return status;
    }
    for (size_t i = 0; i < set->count; i++)
        store(&set->option[i], &value[i], ret_values);
    return PK_OK;
}

static enum pk_status parse(struct parser *parser, int argc, char *const argv[])
{
    enum pk_status status = read_arguments(parser, argc, argv, true);
    if (status != PK_OK)
        return status;
    char config_env[96];
    static const struct option config_option = {.name = "config"};
    const char *from_env = getenv(env_name(parser->set, &config_option, config_env));
    if (!parser->config && from_env)
        parser->config = from_env, parser->config_from = pk_arena_str(parser->arena, pk_str(config_env)).ptr;
    status = read_config(parser);
    if (status != PK_OK)
        return status;
    status = read_environment(parser);
    return status == PK_OK ? read_arguments(parser, argc, argv, false) : status;
}

enum pk_status options_parse(const struct option_set *set, const char *command, int argc, char *const argv[],
                             struct pk_arena *arena, void *ret_values, struct options_result *ret_result,
                             struct pk_err *err)
{
    struct parser parser = {.set = set, .command = command, .arena = arena, .err = err};
    parser.given = PK_NEW_ARRAY(arena, struct given, set->count);
    for (size_t i = 0; i < set->count; i++)
        parser.given[i] = (struct given){set->option[i].fallback,
                                         arena_printf(arena, "default of %s", set->option[i].name)};
    enum pk_status status = parse(&parser, argc, argv);
    if (status == PK_OK && !parser.result.help)
        status = read_kafka_secrets(&parser);
    if (status == PK_OK && !parser.result.help)
        status = convert_all(&parser, ret_values);
    if (status != PK_OK) {
        pk_vec_done(&parser.result.kafka);
        pk_vec_done(&parser.result.rest);
        return status;
    }
    *ret_result = parser.result;
    return PK_OK;
}

/* ---- what people read ---- */

static void wrap(struct pk_buf *out, const char *text, size_t column)
{
    size_t at = column;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (at > column && at + 1 + word > HELP_WIDTH) {
            pk_buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            pk_buf_text(out, " ");
            at++;
        }
        pk_buf_add(out, text, word);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    pk_buf_text(out, "\n");
}

const char *options_value_name(const struct option *option)
{
    static const char *const usual[] = {"TEXT", "N", "SIZE", "DURATION", "", "FILE"};
    return option->type == OPTION_BOOL ? "" : option->value_name ? option->value_name : usual[option->type];
}

static void help_line(struct pk_buf *out, const char *name, const char *value, const char *help, const char *fallback)
{
    char text[1024];
    snprintf(text, sizeof text, "%s%s%s%s", help, fallback ? " [" : "", fallback ? fallback : "", fallback ? "]" : "");
    size_t start = out->len;
    pk_buf_printf(out, "  --%s%s%s", name, *value ? " " : "", value);
    size_t used = out->len - start;
    if (used + 2 > HELP_COLUMN)
        pk_buf_printf(out, "\n%*s", HELP_COLUMN, "");
    else
        pk_buf_printf(out, "%*s", (int)(HELP_COLUMN - used), "");
    wrap(out, text, HELP_COLUMN);
}

void options_help(const struct option_set *set, const char *command, struct pk_buf *out)
{
    char name[64];
    bool config = false;
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->option[i];
        if (!options_belongs(option, command))
            continue;
        config |= strcmp(option->name, "config") == 0;
        help_line(out, options_written_name(option, name), options_value_name(option), option->help,
                  option->type == OPTION_BOOL && option->fallback && strcmp(option->fallback, "false") == 0
                      ? NULL
                      : option->fallback);
    }
    if (!config)
        help_line(out, "config", "FILE", "read options from this file: lines of 'name = value', # comments", NULL);
    help_line(out, "kafka.PROPERTY", "VALUE", "any librdkafka property, passed through; a secret one as kafka.PROPERTY-file FILE", NULL);
    help_line(out, "help", "", "show this", NULL);
    pk_buf_printf(out, "Every option can also be set in the environment as %sNAME, capitals and underscores.\n",
                  set->env_prefix);
}

void options_example(const struct option_set *set, struct pk_buf *out)
{
    char name[64];
    pk_buf_printf(out,
                  "# Options of %s: every line shows the default; remove the # to change it.\n"
                  "# Environment (%sNAME) and arguments (--name) win over this file.\n",
                  set->program, set->env_prefix);
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->option[i];
        if (strcmp(option->name, "config") == 0)
            continue;
        pk_buf_printf(out, "\n# %s", option->help);
        if (strcmp(option->commands, "*") != 0)
            pk_buf_printf(out, " (%s)", option->commands);
        pk_buf_printf(out, "\n#%s = %s\n", options_written_name(option, name), option->fallback ? option->fallback : "");
    }
    pk_buf_text(out, "\n# Any librdkafka property passes through; one that is a secret is read from a file of its own.\n"
                     "#kafka.security.protocol = sasl_ssl\n#kafka.sasl.password-file = /etc/polku/kafka.password\n");
}

/* `|` ends a cell of a Markdown table. */
static void cell(struct pk_buf *out, const char *text)
{
    for (; *text; text++)
        pk_buf_printf(out, *text == '|' ? "\\%c" : "%c", *text);
}

void options_markdown(const struct option_set *set, struct pk_buf *out)
{
    char name[64], env[96], range[80];
    pk_buf_text(out, "| option | environment | default | range | commands | meaning |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->option[i];
        bool number = options_range(option, range);
        pk_buf_printf(out, "| `--%s%s", options_written_name(option, name), *options_value_name(option) ? " " : "");
        cell(out, options_value_name(option));
        pk_buf_printf(out, "` | `%s` | ", env_name(set, option, env));
        if (option->fallback && *option->fallback)
            pk_buf_printf(out, "`%s`", option->fallback);
        pk_buf_text(out, " | ");
        if (number)
            pk_buf_text(out, range);
        pk_buf_printf(out, " | %s | ", strcmp(option->commands, "*") == 0 ? "all" : option->commands);
        cell(out, option->help);
        pk_buf_text(out, " |\n");
    }
}
