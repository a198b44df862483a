/* SPDX-License-Identifier: Apache-2.0 */
/* The N-th allocation fails, for every N, in each thing that the programs do with what others wrote: the process ends with
 * exit code 70 and a sentence, or a library copes and the result is the one it always is, or the sentence is about memory.
 * Never a crash, never another result, never a record or file that is called broken because there was no room to read it.
 *
 * Every try is a process of its own. For even N that allocation alone fails, for odd N all from there on. Our malloc stands
 * before libc's for libraries too; not with AddressSanitizer, which has its own. POLKU_ALLOC_TRIES=n (default 400) of each. */
#include "event_avro.h"
#include "event_json.h"
#include "fuzz.h"
#include "mapping.h"
#include "memory_store.h"
#include "avro_tree.h"
#include "registry_answer.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- malloc that fails on request ---- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *ptr, size_t bytes);

static bool armed;
static long allocations, fails_at; /* fails_at 0 = never */

static bool refused(void)
{
    if (!armed)
        return false;
    long n = ++allocations;
    if (fails_at == 0 || (fails_at % 2 ? n < fails_at : n != fails_at))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return refused() ? NULL : __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes)
{
    return refused() ? NULL : __libc_calloc(count, bytes);
}
void *realloc(void *ptr, size_t bytes)
{
    return refused() ? NULL : __libc_realloc(ptr, bytes);
}

/* ---- what is done; each returns a status and adds its result to `out`, which has its room already ---- */

static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};
static struct pk_buf text; /* of the file that the path at hand reads */

static void add_number(struct pk_buf *out, uint64_t number)
{
    uint8_t bytes[8];
    pk_put_be64(bytes, number);
    pk_buf_add(out, bytes, sizeof bytes);
}

static enum pk_status load_rules(struct symbols *symbols, struct pk_arena *arena, struct rules *rules, struct pk_err *err)
{
    symbols_init(symbols);
    return rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", POLKU_SOURCE_DIR "/schemas/vocabulary.yaml", symbols, arena,
                      rules, NULL, err);
}

static enum pk_status do_rules(struct pk_buf *out, struct pk_err *err)
{
    struct symbols symbols;
    struct pk_arena arena = {0};
    struct rules rules;
    enum pk_status status = load_rules(&symbols, &arena, &rules, err);
    if (status == PK_OK) {
        add_number(out, rules.kind_count * 100 + rules.namespace_count);
        pk_buf_add(out, rules.file_hash.byte, 16);
    }
    return status;
}

static enum pk_status do_decode(struct pk_buf *out, struct pk_err *err)
{
    struct schema_set *schemas;
    struct pk_arena arena = {0};
    struct event event;
    enum reject_reason reason;
    struct pk_buf payload = {0};
    enum pk_status status = schema_set_open(POLKU_SOURCE_DIR "/schemas", NULL, &schemas, err);
    wire_add_confluent(&payload, 1);
    pk_buf_add(&payload, text.ptr, text.len);
    if (status == PK_OK)
        status = event_decode(schemas, (struct pk_bytes){(uint8_t *)payload.ptr, payload.len}, &arena, &event, &reason, err);
    if (status == PK_OK)
        event_encode_canonical(&event, out);
    return status;
}

static enum pk_status do_json(struct pk_buf *out, struct pk_err *err)
{
    struct pk_arena arena = {0};
    struct event event;
    struct event_encoder *encoder;
    enum pk_status status = event_from_json((struct pk_str){text.ptr, text.len}, &arena, &event, err);
    if (status == PK_OK)
        event_to_json(&event, out);
    if (status == PK_OK)
        status = event_encoder_open(&encoder, err);
    if (status == PK_OK)
        status = event_encode_avro(encoder, &event, out, err);
    return status;
}

static enum pk_status do_registry(struct pk_buf *out, struct pk_err *err)
{
    static const char answer[] = "{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\",\"id\":3,\"is_compatible\":false,"
                                 "\"messages\":[\"a\",\"b\"],\"error_code\":40403,\"message\":\"none\"}";
    uint32_t id = 0;
    bool compatible = true;
    int code = 0;
    enum pk_status status = registry_read_schema(pk_str(answer), out, err);
    if (status == PK_OK)
        status = registry_read_id(pk_str(answer), &id, err);
    if (status == PK_OK)
        status = registry_read_verdict(pk_str(answer), &compatible, out, err);
    (void)registry_read_error(pk_str(answer), &code, out);
    add_number(out, id + (uint64_t)code + compatible);
    return status;
}

static enum pk_status do_mapping(struct pk_buf *out, struct pk_err *err)
{
    static const char yaml[] = "defaults: {source: s, brand: B, channel: web, occurred_at: \"{at}\"}\nevents:\n"
                               "  - {event_id: \"{id}\", type: order.placed, attributes: {who: \"{who|upper}\"}}\n";
    static const char csv[] = "id,who,at\n1,ann,2020-01-01T00:00:00Z\n2,\"bob, jr\",2020-01-02T00:00:00Z\n";
    struct pk_arena arena = {0};
    struct mapping *mapping;
    struct mapping_reader *reader;
    struct mapped_row row;
    enum pk_status status = mapping_parse("mapping.yaml", pk_str(yaml), &arena, &mapping, err);
    if (status == PK_OK)
        status = mapping_open(mapping, fuzz_file(0, pk_str(csv)), &reader, err);
    if (status != PK_OK)
        return status;
    enum input_result result;
    while ((result = mapping_next(reader, &arena, &row, err)) == INPUT_RECORD)
        for (size_t i = 0; i < row.count; i++)
            event_to_json(&row.event[i], out);
    return result == INPUT_END ? PK_OK : PK_REJECT;
}

/* A file of events in one batch, into the tables in memory. */
static enum pk_status do_batch(struct pk_buf *out, struct pk_err *err)
{
    struct symbols symbols;
    struct pk_arena arena = {0};
    struct rules rules;
    struct matcher matcher;
    struct fact_maker maker;
    struct memory_store store;
    struct memory_worker worker;
    PK_VEC(struct fact *) fact = {0};
    enum pk_status status = load_rules(&symbols, &arena, &rules, err);
    if (status != PK_OK)
        return status;
    matcher_init(&matcher, &rules, &symbols);
    fact_maker_init(&maker, &rules, &hasher, &symbols, &matcher);
    const struct meaning meaning = {&rules, &matcher, &symbols, &hasher, &maker};
    memory_store_init(&store);
    memory_worker_init(&worker, &store, &meaning, 1 << 20, symbol_of(&symbols, PK_STR("events")), 0);
    for (const char *line = text.ptr, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct event *event = PK_NEW(&arena, struct event);
        status = event_from_json((struct pk_str){line, (size_t)(end - line)}, &arena, event, err);
        if (status != PK_OK)
            return status;
        struct fact *made = PK_NEW(&arena, struct fact);
        fact_from_event(&maker, event, &arena, made);
        made->topic_name = worker.at.topic;
        made->offset = (int64_t)fact.len;
        *pk_vec_push(&fact) = made;
    }
    status = memory_batch(&worker, fact.ptr, fact.len, err);
    if (status == PK_OK)
        status = memory_audit(&store, &meaning, err);
    add_number(out, store.facts.count * 1000000 + store.journeys.count * 1000 + store.obligations.count);
    add_number(out, store.bucket.len);
    return status;
}

static const struct path {
    const char *name, *file;
    enum pk_status (*run)(struct pk_buf *out, struct pk_err *err);
} paths[] = {
    {"rules", "/deploy/polku.yaml", do_rules},
    {"decode", "/schemas/golden/v1/full.avro", do_decode},
    {"json", "/schemas/golden/v1/full.json", do_json},
    {"registry", "/schemas/ids.yaml", do_registry},
    {"mapping", "/schemas/ids.yaml", do_mapping},
    {"batch", "/deploy/demo/s0.jsonl", do_batch},
};

/* ---- tries ---- */

struct outcome { /* what a child wrote before it ended */
    int status;  /* of the path; -1: it ended within */
    long allocations;
    uint64_t digest;
    char words[512]; /* the path's sentence */
};

static uint64_t digest_of(const struct pk_buf *out)
{
    return avro_fingerprint(out->ptr ? out->ptr : "", out->len);
}

static void run_child(const struct path *path, long n, int result)
{
    static char room[1 << 20];
    struct pk_buf out = {.ptr = room, .cap = sizeof room}; /* its room comes from no allocation */
    struct outcome outcome = {.status = -1};
    struct pk_err err = {0};
    fails_at = n;
    armed = true;
    outcome.status = (int)path->run(&out, &err);
    armed = false;
    outcome.allocations = allocations;
    outcome.digest = digest_of(&out);
    memcpy(outcome.words, err.text, sizeof outcome.words);
    _exit(write(result, &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
}

/* Returns the exit status as wait() has it; what the child said on standard error is in `said`. */
static int try(const struct path *path, long n, struct outcome *outcome, char said[512])
{
    int result[2], words[2], status = 0;
    FUZZ_MUST(pipe(result) == 0 && pipe(words) == 0, "no pipe");
    fflush(NULL);
    pid_t child = fork();
    FUZZ_MUST(child >= 0, "no process");
    if (child == 0) {
        dup2(words[1], STDERR_FILENO);
        close(words[0]), close(words[1]), close(result[0]);
        run_child(path, n, result[1]);
    }
    close(result[1]), close(words[1]);
    *outcome = (struct outcome){.status = -1};
    ssize_t got = read(result[0], outcome, sizeof *outcome), len = read(words[0], said, 511);
    FUZZ_MUST(got == 0 || got == sizeof *outcome, "half an outcome");
    said[len > 0 ? len : 0] = '\0';
    FUZZ_MUST(waitpid(child, &status, 0) == child, "no child");
    close(result[0]), close(words[0]);
    return status;
}

static bool about_memory(const char *words)
{
    return strstr(words, "memory") || strstr(words, "Memory") || strstr(words, strerror(ENOMEM));
}

static bool check_path(const struct path *path, long tries)
{
    struct outcome whole, outcome;
    char said[512];
    int status = try(path, 0, &whole, said);
    FUZZ_MUST(status == 0 && whole.status == PK_OK, "%s does not work at all: %s%s", path->name, said, whole.words);
    long step = PK_MAX(1, whole.allocations / tries) | 1, ended = 0, coped = 0, told = 0, wrong = 0, tried = 0;
    for (long n = 1; n <= whole.allocations; n += n < tries / 2 ? 1 : step, tried++) {
        status = try(path, n, &outcome, said);
        bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 70 && strstr(said, "out of memory"))
            ended++;
        else if (clean && outcome.status == PK_OK && outcome.digest == whole.digest)
            coped++;
        else if (clean && outcome.status != PK_OK && about_memory(outcome.words))
            told++;
        else if (++wrong <= 5)
            printf("%s, allocation %ld: wait status 0x%x, status %s: %s%s\n", path->name, n, (unsigned)status,
                   outcome.status < 0 ? "none" : pk_status_name((enum pk_status)outcome.status), outcome.words, said);
    }
    printf("%-9s %6ld allocations, %5ld failed: %5ld ended with 70, %4ld coped, %4ld said so, %ld WRONG\n", path->name,
           whole.allocations, tried, ended, coped, told, wrong);
    return wrong == 0 && ended > 0;
}

static void read_text(const char *name)
{
    char file[4096];
    snprintf(file, sizeof file, "%s%s", POLKU_SOURCE_DIR, name);
    FILE *in = fopen(file, "rb");
    FUZZ_MUST(in, "%s cannot be opened", file);
    pk_buf_reset(&text);
    pk_buf_reserve(&text, 1 << 20);
    text.len = fread(text.ptr, 1, 1 << 20, in);
    text.ptr[text.len] = '\0';
    fclose(in);
}

int main(void)
{
    const char *wish = getenv("POLKU_ALLOC_TRIES");
    long tries = wish ? strtol(wish, NULL, 10) : 400;
    bool well = true;
    for (size_t i = 0; i < PK_COUNT(paths); i++) {
        read_text(paths[i].file);
        well &= check_path(&paths[i], tries);
    }
    return well ? 0 : 1;
}
