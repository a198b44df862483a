/* SPDX-License-Identifier: Apache-2.0 */
/* A writer's schema as JSON, then bodies: refused with a sentence, or a plan that decodes or refuses any body. The
 * canonical form of what is understood is a schema with the same canonical form and the same plan. */
#include "avro_plan.h"
#include "avro_tree.h"
#include "fuzz.h"

static void check_canonical(struct pk_str json)
{
    struct avro_tree tree, again;
    struct pk_err err = {0};
    if (avro_tree_parse(json, &tree, &err) != PK_OK) {
        fuzz_sentence(&err);
        return;
    }
    FUZZ_MUST(avro_tree_parse(tree.canonical, &again, &err) == PK_OK, "canonical form is refused: %s\n%s", err.text,
              tree.canonical.ptr);
    FUZZ_MUST(pk_str_eq(tree.canonical, again.canonical), "canonical form is not canonical:\n%s\n%s",
              tree.canonical.ptr, again.canonical.ptr);
    FUZZ_MUST(tree.fingerprint == again.fingerprint && tree.node_count >= again.node_count, "another fingerprint");
    avro_tree_done(&tree);
    avro_tree_done(&again);
}

static void decode(const struct avro_plan *plan, struct pk_str body)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct pk_str exact = fuzz_exact(body);
    struct event event;
    struct pk_err err = {0};
    enum reject_reason reason;
    if (avro_plan_decode(plan, (struct pk_bytes){(const uint8_t *)exact.ptr, exact.len}, &arena, &event, &reason, &err))
        fuzz_sentence(&err);
    fuzz_free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_str rest = {(const char *)data, size}, json = fuzz_exact(fuzz_part(&rest));
    struct avro_plan *plan;
    struct pk_err err = {0};
    check_canonical(json);
    if (avro_plan_compile((struct pk_str){0}, json, &plan, &err) == PK_OK) {
        decode(plan, rest);
        avro_plan_free(plan);
    } else {
        fuzz_sentence(&err);
    }
    fuzz_free(json);
    return 0;
}
