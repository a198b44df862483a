/* SPDX-License-Identifier: Apache-2.0 */
#include "store_conninfo.h"

#include <libpq-fe.h>
#include <stdio.h>

/* libpq quotes what it does not understand, and that may be a part of a password. */
static enum pk_status not_understood(const char *given, const char *why, struct pk_err *err)
{
    bool secret = strcasestr(given, "pass") || strstr(given, "://");
    return pk_fail(err, PK_REJECT, "--database is no connection string of PostgreSQL (host=.. dbname=.. user=..) and no URI%s%.*s",
                   why && !secret ? ": " : "", why && !secret ? (int)strcspn(why, "\n") : 0, why ? why : "");
}

static enum pk_status refuse_secret(const PQconninfoOption *option, struct pk_err *err)
{
    static const char *const secret[][2] = {{"password", "--database-password-file"},
                                            {"sslpassword", "a key without a passphrase that only this user may read"}};
    for (; option->keyword; option++)
        for (size_t i = 0; i < PK_COUNT(secret); i++)
            if (strcmp(option->keyword, secret[i][0]) == 0 && option->val)
                return pk_fail(err, PK_REJECT, "--database holds a secret (%s), which everybody on this machine could read; use %s",
                               secret[i][0], secret[i][1]);
    return PK_OK;
}

static void add(struct pk_buf *text, const char *keyword, const char *value)
{
    pk_buf_printf(text, "%s%s='", text->len ? " " : "", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            pk_buf_add(text, "\\", 1);
        pk_buf_add(text, value, 1);
    }
    pk_buf_add(text, "'", 1);
}

enum pk_status store_conninfo(const char *given, const char *password, struct pk_arena *arena, const char **ret_conninfo,
                              struct pk_err *err)
{
    char *why = NULL;
    PQconninfoOption *option = PQconninfoParse(given ? given : "", &why);
    enum pk_status status = option ? refuse_secret(option, err) : not_understood(given, why, err);
    if (status == PK_OK) {
        struct pk_buf text PK_AUTO(pk_buf_done) = {0};
        for (const PQconninfoOption *at = option; at->keyword; at++)
            if (at->val)
                add(&text, at->keyword, at->val);
        if (password)
            add(&text, "password", password);
        *ret_conninfo = pk_arena_str(arena, (struct pk_str){text.ptr ? text.ptr : "", text.len}).ptr;
        if (text.ptr)
            explicit_bzero(text.ptr, text.cap);
    }
    PQconninfoFree(option);
    PQfreemem(why);
    return status;
}

void store_connection_says(const struct pg_conn *conn, char *text, size_t size)
{
    const char *said = PQerrorMessage(conn);
    size_t len = strlen(said);
    while (len > 0 && said[len - 1] == '\n')
        len--;
    size_t skipped = len < size ? 0 : len - (size - 4);
    while (skipped && skipped < len && ((unsigned char)said[skipped] & 0xC0) == 0x80) /* within a character */
        skipped++;
    snprintf(text, size, "%s%.*s", skipped ? ".. " : "", (int)(len - skipped), len ? said + skipped : "");
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    if (len == 0)
        snprintf(text, size, "no answer");
}
