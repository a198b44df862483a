/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_set.h"
#include "event_avro.h"
#include "yaml.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <time.h>

enum { MAX_SCHEMA_FILE = 1 << 20, MAX_ASKED = 100000, GRACES = 6, GRACE_SHARE = 10 };
static const int64_t ASK_AGAIN_US = 30 * PK_SECOND_US; /* for an id that was unknown */

struct known_schema {
    char *name; /* path below the folder, or "built-in" */
    struct avro_plan *plan;
};

struct known_id {
    uint32_t id;
    const struct avro_plan *plan;
};

/* An id that the registry was asked for. */
struct asked_id {
    struct avro_plan *plan; /* NULL: not known, or no event can be read from it */
    char *why;              /* no event can be read from it: for good, ids do not change */
    int64_t first_us;       /* not known: since when it is asked for */
    int64_t asked_us;       /* the last time */
    bool given_up;          /* its grace is over */
};

struct schema_set {
    PK_VEC(struct known_schema) schema;
    PK_VEC(struct known_id) id;
    bool ids_given; /* by a file; else the id 1 is a guess */
    struct registry *registry;
    struct pk_map asked; /* id -> struct asked_id */
    int64_t grace_us;
    int64_t budget_us, budget_at_us; /* how long ids may still be waited for in vain, and as of when */
    /* The last answer: nearly every record has the schema of the one before it. */
    struct wire_frame last;
    const struct avro_plan *last_plan;
};

static void file_done(FILE **file)
{
    if (*file)
        fclose(*file);
}

static void dir_done(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static enum pk_status add_schema(struct schema_set *set, const char *name, struct pk_str json, struct pk_err *err)
{
    struct avro_plan *plan;
    struct pk_err why;
    if (avro_plan_compile((struct pk_str){0}, json, &plan, &why) != PK_OK)
        return pk_fail(err, PK_REJECT, "%s: %.450s", name, why.text);
    *pk_vec_push(&set->schema) = (struct known_schema){pk_strdup(name), plan};
    return PK_OK;
}

static enum pk_status read_schema(struct schema_set *set, const char *path, const char *name, struct pk_err *err)
{
    FILE *in PK_AUTO(file_done) = fopen(path, "rb");
    if (!in)
        return pk_fail(err, PK_REJECT, "cannot open %s: %s", path, strerror(errno));
    struct pk_buf json PK_AUTO(pk_buf_done) = {0};
    pk_buf_reserve(&json, MAX_SCHEMA_FILE);
    json.len = fread(json.ptr, 1, MAX_SCHEMA_FILE, in);
    if (ferror(in))
        return pk_fail(err, PK_REJECT, "cannot read %s", path);
    return add_schema(set, name, (struct pk_str){json.ptr, json.len}, err);
}

/* Files in any order: which schemas there are does not depend on it. */
static enum pk_status read_folder(struct schema_set *set, const char *folder, const char *below, struct pk_err *err)
{
    char path[4096], name[512];
    snprintf(path, sizeof path, "%s/%s", folder, below);
    DIR *dir PK_AUTO(dir_done) = opendir(path);
    if (!dir)
        return *below && errno == ENOENT ? PK_OK
                                         : pk_fail(err, PK_REJECT, "cannot open the folder %s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        if (len < 6 || len > 250 || strcmp(entry->d_name + len - 5, ".avsc") != 0 || entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", entry->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        enum pk_status status = read_schema(set, path, name, err);
        if (status != PK_OK)
            return status;
    }
    return PK_OK;
}

static const struct avro_plan *find_name(const struct schema_set *set, struct pk_str name)
{
    for (size_t i = 0; i < set->schema.len; i++)
        if (pk_str_eq(pk_str(set->schema.ptr[i].name), name))
            return set->schema.ptr[i].plan;
    return NULL;
}

static enum pk_status read_ids(struct schema_set *set, const char *path, struct pk_err *err)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct yaml_file file;
    enum pk_status status = yaml_load(path, &arena, &file, err);
    if (status != PK_OK || !file.root)
        return status;
    if (file.root->kind != YAML_MAPPING)
        return yaml_fail(&file, file.root, err, "must map ids to files, such as 1: interaction.avsc");
    for (size_t i = 0; i < file.root->count; i++) {
        const struct yaml_node key = {.kind = YAML_SCALAR, .line = file.root->key_line[i], .text = file.root->key[i]};
        struct pk_str name = {0};
        int64_t id = 0;
        status = yaml_int(&file, &key, 0, UINT32_MAX, &id, err);
        if (status == PK_OK)
            status = yaml_text(&file, file.root->item[i], &name, err);
        if (status != PK_OK)
            return status;
        const struct avro_plan *plan = find_name(set, name);
        if (!plan)
            return yaml_fail(&file, file.root->item[i], err, "there is no schema file '%.100s' in the folder", name.ptr);
        *pk_vec_push(&set->id) = (struct known_id){(uint32_t)id, plan};
    }
    return PK_OK;
}

static enum pk_status fill(struct schema_set *set, const char *folder, const char *ids_path, struct pk_err *err)
{
    enum pk_status status = add_schema(set, "built-in", event_schema_json(), err);
    if (status != PK_OK)
        return status;
    if (!folder) {
        if (ids_path)
            return pk_fail(err, PK_REJECT, "%s: a file of schema ids needs the folder of the schemas", ids_path);
        *pk_vec_push(&set->id) = (struct known_id){1, set->schema.ptr[0].plan};
        return PK_OK;
    }
    set->ids_given = true;
    status = read_folder(set, folder, "", err);
    if (status == PK_OK)
        status = read_folder(set, folder, "versions", err);
    if (status != PK_OK)
        return status;
    char usual[4096];
    snprintf(usual, sizeof usual, "%s/ids.yaml", folder);
    /* Only a file that is not there may be left out: without the ids in it good records would be set aside. */
    if (!ids_path && access(usual, F_OK) != 0 && errno == ENOENT)
        return PK_OK;
    return read_ids(set, ids_path ? ids_path : usual, err);
}

enum pk_status schema_set_open(const char *folder, const char *ids_path, struct schema_set **ret_set,
                               struct pk_err *err)
{
    struct schema_set *set = pk_alloc(sizeof *set);
    enum pk_status status = fill(set, folder, ids_path, err);
    if (status != PK_OK) {
        schema_set_close(set);
        return status;
    }
    *ret_set = set;
    return PK_OK;
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static void asked_done(struct asked_id *asked)
{
    avro_plan_free(asked->plan);
    free(asked->why);
    free(asked);
}

static void forget_asked(struct schema_set *set)
{
    PK_MAP_EACH(&set->asked, entry)
        asked_done(entry->value);
    pk_map_clear(&set->asked);
}

/* Keeps what is known: plans are lent out. */
static void forget_unknown(struct schema_set *set)
{
    struct pk_map kept = {0};
    PK_MAP_EACH(&set->asked, entry) {
        struct asked_id *asked = entry->value;
        if (asked->plan)
            pk_map_put(&kept, entry->key, asked);
        else
            asked_done(asked);
    }
    pk_map_done(&set->asked);
    set->asked = kept;
}

void schema_set_close(struct schema_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->schema.len; i++) {
        free(set->schema.ptr[i].name);
        avro_plan_free(set->schema.ptr[i].plan);
    }
    forget_asked(set);
    pk_map_done(&set->asked);
    registry_close(set->registry);
    pk_vec_done(&set->schema);
    pk_vec_done(&set->id);
    free(set);
}

/* ---- the registry ---- */

void schema_set_use_registry(struct schema_set *set, struct registry *registry, int64_t grace_us)
{
    set->registry = registry;
    set->grace_us = grace_us;
    set->budget_us = GRACES * grace_us;
    set->budget_at_us = now_us();
    if (!set->ids_given)
        set->id.len = 0;
}

void schema_set_watch(struct schema_set *set, struct pulse *pulse)
{
    if (set->registry)
        registry_watch(set->registry, pulse);
}

struct registry_counters schema_set_counters(const struct schema_set *set)
{
    return set->registry ? registry_counters(set->registry) : (struct registry_counters){0};
}

static void refill_budget(struct schema_set *set, int64_t now)
{
    set->budget_us = PK_MIN(set->budget_us + (now - set->budget_at_us) / GRACE_SHARE, GRACES * set->grace_us);
    set->budget_at_us = now;
}

/* Waiting begins only if the budget has a whole grace left, and uses up what it took. */
static enum pk_status not_known(struct schema_set *set, struct asked_id *asked, uint32_t id, int64_t now, struct pk_err *err)
{
    refill_budget(set, now);
    if (!asked->first_us) {
        asked->first_us = now;
        asked->given_up = asked->given_up || set->budget_us < set->grace_us;
    } else if (!asked->given_up) {
        set->budget_us -= now - asked->asked_us;
    }
    asked->asked_us = now;
    if (!asked->given_up && now - asked->first_us < set->grace_us)
        return pk_fail(err, PK_RETRY, "the schema registry does not know the id %" PRIu32 " yet", id);
    asked->given_up = true;
    return pk_fail(err, PK_REJECT, "the schema registry does not know the id %" PRIu32, id);
}

/* The plan, or why there will never be one. */
static enum pk_status learn(struct asked_id *asked, uint32_t id, struct pk_buf json)
{
    struct pk_err why;
    struct pk_str text_of_schema = {json.ptr ? json.ptr : "", json.len};
    enum pk_status status = avro_plan_compile((struct pk_str){0}, text_of_schema, &asked->plan, &why);
    free(asked->why);
    asked->why = NULL;
    if (status == PK_OK)
        return PK_OK;
    struct pk_buf text = {0};
    pk_buf_printf(&text, "the schema with the id %" PRIu32 " is none of events: %s", id, why.text);
    asked->why = text.ptr;
    return PK_REJECT;
}

static enum pk_status ask_registry(struct schema_set *set, struct asked_id *asked, uint32_t id, struct pk_err *err)
{
    struct pk_buf json PK_AUTO(pk_buf_done) = {0};
    bool unknown;
    enum pk_status status = registry_schema(set->registry, id, &json, &unknown, err);
    if (status == PK_OK && learn(asked, id, json) == PK_OK)
        return PK_OK;
    if (status == PK_OK) { /* a copy on the disk may be damaged; what the registry says now is final */
        registry_forget(set->registry, id);
        pk_buf_reset(&json);
        status = registry_schema(set->registry, id, &json, &unknown, err);
        if (status == PK_OK && learn(asked, id, json) == PK_OK)
            return PK_OK;
        if (status == PK_OK)
            return pk_fail(err, PK_REJECT, "%s", asked->why);
        free(asked->why);
        asked->why = NULL;
    }
    if (status == PK_REJECT && unknown)
        return not_known(set, asked, id, now_us(), err);
    if (status == PK_REJECT) {
        free(asked->why);
        asked->why = pk_strdup(err->text);
    } else {
        asked->first_us = asked->asked_us = 0; /* being away is no word about the id */
    }
    return status;
}

static enum pk_status find_in_registry(struct schema_set *set, uint32_t id, const struct avro_plan **ret_plan,
                                       struct pk_err *err)
{
    struct asked_id *asked = pk_map_get(&set->asked, pk_hash_of(id));
    if (asked && asked->why)
        return pk_fail(err, PK_REJECT, "%s", asked->why);
    if (asked && !asked->plan && asked->given_up && now_us() - asked->asked_us < ASK_AGAIN_US)
        return pk_fail(err, PK_REJECT, "the schema registry does not know the id %" PRIu32, id);
    if (!asked) {
        if (set->asked.count >= MAX_ASKED)
            forget_unknown(set);
        asked = pk_alloc(sizeof *asked);
        pk_map_put(&set->asked, pk_hash_of(id), asked);
    }
    enum pk_status status = asked->plan ? PK_OK : ask_registry(set, asked, id, err);
    if (status == PK_OK)
        *ret_plan = asked->plan;
    return status;
}

static const struct avro_plan *look_up(const struct schema_set *set, const struct wire_frame *frame)
{
    if (frame->kind == WIRE_CONFLUENT) {
        for (size_t i = 0; i < set->id.len; i++)
            if (set->id.ptr[i].id == frame->schema_id)
                return set->id.ptr[i].plan;
        return NULL;
    }
    for (size_t i = 0; i < set->schema.len; i++)
        if (avro_plan_fingerprint(set->schema.ptr[i].plan) == frame->fingerprint)
            return set->schema.ptr[i].plan;
    return NULL;
}

enum pk_status schema_set_find(struct schema_set *set, const struct wire_frame *frame,
                               const struct avro_plan **ret_plan, struct pk_err *err)
{
    const struct wire_frame *last = &set->last;
    bool same = set->last_plan && last->kind == frame->kind && last->schema_id == frame->schema_id &&
                last->fingerprint == frame->fingerprint;
    const struct avro_plan *plan = same ? set->last_plan : look_up(set, frame);
    if (!plan && frame->kind == WIRE_CONFLUENT && set->registry) {
        enum pk_status status = find_in_registry(set, frame->schema_id, &plan, err);
        if (status != PK_OK)
            return status;
    }
    if (!plan && frame->kind == WIRE_CONFLUENT)
        return pk_fail(err, PK_REJECT, "no schema is known under the id %" PRIu32, frame->schema_id);
    if (!plan)
        return pk_fail(err, PK_REJECT, "no schema is known under the fingerprint %016" PRIx64, frame->fingerprint);
    set->last = *frame;
    set->last_plan = plan;
    *ret_plan = plan;
    return PK_OK;
}
