/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of ten writers, avro-c as the judge. Byte 0 names the writer (avro_peer.h), the rest is the body.
 *
 * avro-c leaks on cut input and takes lengths as they come, so a walker of our own, strict and slow, says first whether
 * the body is a value of the schema: then avro-c must read it, and we must read the same or refuse what no event can
 * hold. Where it is not, we must refuse it too, unless a field that only the writer has lies in a block that says its
 * size: such blocks are jumped over. */
#include "avro_peer.h"
#include "avro_tree.h"
#include "event_avro.h"
#include "event_json.h"
#include "fuzz.h"

/* ---- is it a value of the schema? ---- */

enum { MAX_WALK_DEPTH = 40, MAX_EMPTY = 1000 };

struct walk {
    const uint8_t *at, *end;
    int depth, empty;
    bool sized;    /* some block says its size */
    bool odd_keys; /* some map has a key twice, or one with a NUL: avro-c keeps the last, or cuts it */
    bool beyond;   /* deeper or more than is worth comparing */
};

static bool walk_value(struct walk *walk, const struct tree_node *node);

static bool walk_number(struct walk *walk, int64_t *ret)
{
    uint64_t raw = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (walk->at == walk->end || (shift == 63 && *walk->at > 1))
            return false;
        raw |= (uint64_t)(*walk->at & 0x7f) << shift;
        if (*walk->at++ < 0x80) {
            *ret = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
            return true;
        }
    }
    return false;
}

static bool walk_index(struct walk *walk, size_t count, int64_t *ret)
{
    return walk_number(walk, ret) && *ret >= 0 && (uint64_t)*ret < count;
}

static bool walk_bytes(struct walk *walk, struct pk_str *ret)
{
    int64_t len;
    if (!walk_number(walk, &len) || len < 0 || len > walk->end - walk->at)
        return false;
    *ret = (struct pk_str){(const char *)walk->at, (size_t)len};
    walk->at += len;
    return true;
}

static bool walk_fixed(struct walk *walk, uint32_t bytes)
{
    if ((size_t)(walk->end - walk->at) < bytes)
        return false;
    walk->at += bytes;
    return true;
}

struct keys {
    PK_VEC(struct pk_str) key;
};

static bool walk_key(struct walk *walk, struct keys *keys)
{
    struct pk_str key;
    if (!walk_bytes(walk, &key))
        return false;
    walk->odd_keys |= memchr(key.ptr, 0, key.len) != NULL;
    for (size_t i = 0; i < keys->key.len && !walk->odd_keys; i++)
        walk->odd_keys = pk_str_eq(keys->key.ptr[i], key);
    *pk_vec_push(&keys->key) = key;
    return true;
}

static bool walk_entries(struct walk *walk, const struct tree_node *node, int64_t count, struct keys *keys)
{
    for (; count > 0; count--) {
        const uint8_t *before = walk->at;
        if ((node->kind == TREE_MAP && !walk_key(walk, keys)) || !walk_value(walk, node->branch[0]))
            return false;
        if (walk->at == before && ++walk->empty > MAX_EMPTY) {
            walk->beyond = true;
            return false;
        }
    }
    return true;
}

static bool walk_blocks(struct walk *walk, const struct tree_node *node, struct keys *keys)
{
    for (;;) {
        int64_t count, size = -1;
        if (!walk_number(walk, &count) || count == INT64_MIN)
            return false;
        if (count < 0) {
            walk->sized = true;
            count = -count;
            if (!walk_number(walk, &size) || size < 0 || size > walk->end - walk->at)
                return false;
        }
        const uint8_t *start = walk->at;
        if (!walk_entries(walk, node, count, keys) || (size >= 0 && walk->at - start != size))
            return false;
        if (count == 0)
            return true;
    }
}

static bool walk_list(struct walk *walk, const struct tree_node *node)
{
    struct keys keys = {0};
    bool whole = walk_blocks(walk, node, &keys);
    pk_vec_done(&keys.key);
    return whole;
}

static bool walk_inner(struct walk *walk, const struct tree_node *node)
{
    int64_t number;
    struct pk_str bytes;
    switch (node->kind) {
    case TREE_NULL:
        return true;
    case TREE_BOOLEAN:
        return walk->at < walk->end && *walk->at++ <= 1;
    case TREE_INT:
        return walk_number(walk, &number) && number == (int32_t)number;
    case TREE_LONG:
        return walk_number(walk, &number);
    case TREE_FLOAT:
        return walk_fixed(walk, 4);
    case TREE_DOUBLE:
        return walk_fixed(walk, 8);
    case TREE_BYTES:
    case TREE_STRING:
        return walk_bytes(walk, &bytes);
    case TREE_FIXED:
        return walk_fixed(walk, node->size);
    case TREE_ENUM:
        return walk_index(walk, node->count, &number);
    case TREE_UNION:
        return walk_index(walk, node->count, &number) && walk_value(walk, node->branch[number]);
    case TREE_ARRAY:
    case TREE_MAP:
        return walk_list(walk, node);
    case TREE_RECORD:
        for (size_t i = 0; i < node->count; i++)
            if (!walk_value(walk, node->field[i].type))
                return false;
        return true;
    }
    return false;
}

static bool walk_value(struct walk *walk, const struct tree_node *node)
{
    if (walk->depth >= MAX_WALK_DEPTH) {
        walk->beyond = true;
        return false;
    }
    walk->depth++;
    bool whole = walk_inner(walk, node);
    walk->depth--;
    return whole;
}

/* ---- the two beside each other ---- */

static struct peer *peer[PEER_WRITERS];
static struct avro_tree tree[PEER_WRITERS];
static struct pk_arena arena = {.keep_bytes = 1 << 20};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (size_t i = 0; i < PEER_WRITERS; i++) {
        struct pk_err err = {0};
        peer[i] = peer_open(i);
        FUZZ_MUST(avro_tree_parse(pk_str(peer[i]->json), &tree[i], &err) == PK_OK, "%s", err.text);
    }
    return 0;
}

/* Reads every byte of it; the canonical form of a valid event reads as itself. */
static void use_event(const struct event *event)
{
    static const struct event_limits limits = {300 * PK_SECOND_US};
    struct pk_buf json PK_AUTO(pk_buf_done) = {0}, canonical PK_AUTO(pk_buf_done) = {0}, again PK_AUTO(pk_buf_done) = {0};
    struct pk_err err = {0};
    struct event back;
    enum reject_reason reason;
    event_to_json(event, &json);
    event_encode_canonical(event, &canonical);
    if (event_validate(event, &limits, PK_NO_TIME, &reason, &err) != PK_OK) {
        fuzz_sentence(&err);
        FUZZ_MUST(reason == REJECT_INVALID || reason == REJECT_TOO_LARGE || reason == REJECT_FUTURE, "another reason");
        return;
    }
    struct pk_bytes body = {(const uint8_t *)canonical.ptr, canonical.len};
    FUZZ_MUST(avro_plan_decode(peer[0]->plan, body, &arena, &back, &reason, &err) == PK_OK, "canonical bytes: %s", err.text);
    event_encode_canonical(&back, &again);
    FUZZ_MUST(again.len == canonical.len && memcmp(again.ptr, canonical.ptr, again.len) == 0, "canonical bytes differ");
}

static void judge(struct peer *judge, struct pk_bytes body, const struct walk *walk, const struct event *event,
                  enum reject_reason reason, const struct pk_err *err)
{
    FUZZ_MUST(peer_read(judge, body), "%s: avro-c refuses what is a value: %s", judge->name, avro_strerror());
    if (!event) {
        FUZZ_MUST(reason == REJECT_TOO_LARGE || peer_is_unreadable(judge), "%s: refused: %s", judge->name, err->text);
        return;
    }
    const char *where = "";
    enum peer_verdict verdict = peer_compare(judge, event, &where);
    bool odd = walk->odd_keys && strcmp(where, "attributes") == 0;
    FUZZ_MUST(verdict == PEER_SAME || odd, "%s: another value of %s (%d)", judge->name, where, (int)verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t writer = data[0] % PEER_WRITERS;
    struct pk_str exact = fuzz_exact((struct pk_str){(const char *)data + 1, size - 1});
    struct pk_bytes body = {(const uint8_t *)exact.ptr, exact.len};
    struct event event;
    struct pk_err err = {0};
    enum reject_reason reason = REJECT_COUNT;
    pk_arena_reset(&arena);
    bool accepted = avro_plan_decode(peer[writer]->plan, body, &arena, &event, &reason, &err) == PK_OK;
    struct walk walk = {.at = body.ptr, .end = body.ptr + body.len};
    bool whole = walk_value(&walk, tree[writer].root) && walk.at == walk.end;
    if (whole)
        judge(peer[writer], body, &walk, accepted ? &event : NULL, reason, &err);
    if (accepted) {
        FUZZ_MUST(whole || walk.sized || walk.beyond, "%s: accepted what is no value", peer[writer]->name);
        use_event(&event);
    } else {
        fuzz_sentence(&err);
        FUZZ_MUST(reason == REJECT_UNDECODABLE || reason == REJECT_TOO_LARGE, "reason %d", (int)reason);
    }
    fuzz_free(exact);
    return 0;
}

#ifdef POLKU_FUZZ
/* Now and then a whole new event of some writer, so that what lies deep is reached. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct chance chance = {seed};
    if (chance_below(&chance, 20) > 0)
        return LLVMFuzzerMutate(data, size, max_size);
    size_t writer = chance_below(&chance, PEER_WRITERS);
    peer_random(peer[writer], &chance);
    if (peer[writer]->len + 1 > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    data[0] = (uint8_t)writer;
    memcpy(data + 1, peer[writer]->buf, peer[writer]->len);
    return peer[writer]->len + 1;
}
#endif
