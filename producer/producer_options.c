/* SPDX-License-Identifier: Apache-2.0 */
#include "producer_options.h"

#include <math.h>
#include <stdlib.h>

static const struct option option[] = {
#define X(member, ctype, name, commands, kind, fallback, min, max, value_name, help)                                   \
    {name, commands, OPTION_##kind, fallback, min, max, offsetof(struct producer_options, member), value_name, help},
#include "producer_options.def"
#undef X
};

const struct option_set producer_option_set = {option, PK_COUNT(option), "polku-producer", "POLKU_"};

enum pk_status producer_share(const char *name, const char *text, double *ret_share, struct pk_err *err)
{
    char *end;
    double share = strtod(text, &end);
    if (end == text || *end || !(share >= 0 && share <= 1))
        return pk_fail(err, PK_REJECT, "--%s: '%.100s' is not a share from 0 to 1", name, text);
    *ret_share = share;
    return PK_OK;
}

enum pk_status producer_word(const char *name, const char *text, const char *const words[], size_t count,
                             size_t *ret_index, struct pk_err *err)
{
    struct pk_buf known PK_AUTO(pk_buf_done) = {0};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_index = i;
            return PK_OK;
        }
        pk_buf_printf(&known, "%s%s", i ? ", " : "", words[i]);
    }
    return pk_fail(err, PK_REJECT, "--%s: '%.100s' is none of %s", name, text, known.ptr);
}
