/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"
#include "avro_tree.h"
#include "registry_answer.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_ANSWER_BYTES = 8 << 20, MAX_CACHED_BYTES = 1 << 20, MAX_REDIRECTS = 3 };

struct registry {
    struct registry_config config;
    CURL *curl;
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
    struct pk_arena arena;
    PK_VEC(const char *) url; /* without a slash at the end */
    size_t good;              /* the one that answered last */
    const char *folder;       /* of this registry, within the cache; NULL = none */
    struct pulse *pulse;
    struct registry_counters counters;
};

struct answer {
    long http;
    struct pk_buf body;
    bool too_large;
};

static void file_done(FILE **file)
{
    if (*file)
        fclose(*file);
}

static bool given(const char *text)
{
    return text && *text;
}

static void answer_done(struct answer *answer)
{
    pk_buf_done(&answer->body);
}

static struct pk_str body_of(const struct answer *answer)
{
    return (struct pk_str){answer->body.ptr ? answer->body.ptr : "", answer->body.len};
}

/* ---- opening ---- */

/* `shown` is what a sentence may repeat of it. */
static enum pk_status check_url(const char *text, const char *shown, struct pk_err *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *user = NULL, *password = NULL, *query = NULL, *fragment = NULL;
    bool parsed = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                  curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
    if (parsed) {
        curl_url_get(url, CURLUPART_USER, &user, 0);
        curl_url_get(url, CURLUPART_PASSWORD, &password, 0);
        curl_url_get(url, CURLUPART_QUERY, &query, 0);
        curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0);
    }
    enum pk_status status = PK_OK;
    if (user || password)
        status = pk_fail(err, PK_REJECT, "registry URL: no user or password belongs into it; give them apart, the password in a file");
    else if (!parsed || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        status = pk_fail(err, PK_REJECT, "registry URL '%.200s': expected http://HOST:PORT or https://HOST:PORT", shown);
    else if (query || fragment)
        status = pk_fail(err, PK_REJECT, "registry URL '%.200s': nothing may stand behind the path", shown);
    curl_free(scheme), curl_free(user), curl_free(password), curl_free(query), curl_free(fragment);
    curl_url_cleanup(url);
    return status;
}

/* What is no URL, for a sign in its password maybe, shows no password apart: with an @ anywhere nothing is repeated. */
static enum pk_status read_urls(struct registry *registry, struct pk_err *err)
{
    bool secret = strchr(registry->config.urls, '@');
    for (const char *at = registry->config.urls; *at;) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", "), kept = len;
        while (kept > 0 && at[kept - 1] == '/')
            kept--;
        if (len > 0) {
            const char *url = pk_arena_str(&registry->arena, (struct pk_str){at, kept}).ptr;
            enum pk_status status = check_url(url, secret ? "...@..." : url, err);
            if (status != PK_OK)
                return status;
            *pk_vec_push(&registry->url) = url;
        }
        at += len;
    }
    return registry->url.len ? PK_OK : pk_fail(err, PK_REJECT, "registry URL: none is given");
}

static enum pk_status check_file(const char *what, const char *path, struct pk_err *err)
{
    if (given(path) && access(path, R_OK) != 0)
        return pk_fail(err, PK_REJECT, "%s %s cannot be read: %s", what, path, strerror(errno));
    return PK_OK;
}

/* OpenSSL would ask the terminal for the passphrase. */
static enum pk_status check_key(const char *path, struct pk_err *err)
{
    enum pk_status status = check_file("the key for the registry", path, err);
    FILE *in PK_AUTO(file_done) = status == PK_OK && given(path) ? fopen(path, "rb") : NULL;
    if (!in)
        return status;
    char line[256];
    bool locked = false;
    while (!locked && fgets(line, sizeof line, in))
        locked = strstr(line, "BEGIN ENCRYPTED") || (strstr(line, "Proc-Type") && strstr(line, "ENCRYPTED"));
    explicit_bzero(line, sizeof line);
    return locked ? pk_fail(err, PK_REJECT, "the key for the registry %s has a passphrase; use one without that only this user may read",
                            path) : PK_OK;
}

static enum pk_status make_folder(const char *path, struct pk_err *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return pk_fail(err, PK_REJECT, "the cache of schemas %s cannot be made: %s", path, strerror(errno));
    if (access(path, W_OK | X_OK) != 0)
        return pk_fail(err, PK_REJECT, "the cache of schemas %s cannot be written to: %s", path, strerror(errno));
    return PK_OK;
}

/* One folder for each registry: ids mean something within one only. */
static enum pk_status open_cache(struct registry *registry, struct pk_err *err)
{
    if (!given(registry->config.cache))
        return PK_OK;
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    for (size_t i = 0; i < registry->url.len; i++)
        pk_buf_printf(&path, "%s\n", registry->url.ptr[i]);
    uint64_t name = avro_fingerprint(path.ptr, path.len);
    pk_buf_reset(&path);
    pk_buf_printf(&path, "%s/%016" PRIx64, registry->config.cache, name);
    enum pk_status status = make_folder(registry->config.cache, err);
    if (status == PK_OK)
        status = make_folder(path.ptr, err);
    registry->folder = pk_arena_str(&registry->arena, (struct pk_str){path.ptr, path.len}).ptr;
    return status;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    if (answer->body.len + size * count > MAX_ANSWER_BYTES) {
        answer->too_large = true;
        return 0;
    }
    pk_buf_add(&answer->body, bytes, size * count);
    return size * count;
}

static void set_up_curl(struct registry *registry)
{
    const struct registry_config *config = &registry->config;
    CURL *curl = registry->curl;
    long timeout_ms = (long)PK_MAX(config->timeout_us / 1000, INT64_C(1));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, registry->curl_error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, registry->headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "polku");
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (given(config->ca)) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, config->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (given(config->certificate))
        curl_easy_setopt(curl, CURLOPT_SSLCERT, config->certificate);
    if (given(config->key))
        curl_easy_setopt(curl, CURLOPT_SSLKEY, config->key);
    curl_easy_setopt(curl, CURLOPT_KEYPASSWD, ""); /* also if the file is another one by now: nobody is asked */
    if (given(config->user)) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, config->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, config->password ? config->password : "");
    }
}

static enum pk_status check_together(const struct registry_config *config, struct pk_err *err)
{
    if (given(config->password) && !given(config->user))
        return pk_fail(err, PK_REJECT, "the registry's password is given, its user is not");
    if (given(config->certificate) != given(config->key))
        return pk_fail(err, PK_REJECT, "the registry's certificate and key are given together or not at all");
    enum pk_status status = check_file("the registry's CA file", config->ca, err);
    if (status == PK_OK)
        status = check_file("the certificate for the registry", config->certificate, err);
    return status == PK_OK ? check_key(config->key, err) : status;
}

enum pk_status registry_open(const struct registry_config *config, struct registry **ret_registry, struct pk_err *err)
{
    static bool begun;
    if (!begun && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return pk_fail(err, PK_REJECT, "libcurl cannot be used");
    begun = true;
    struct registry *registry = pk_alloc(sizeof *registry);
    registry->config = *config;
    registry->curl = curl_easy_init();
    registry->headers = curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json, application/json");
    registry->headers = curl_slist_append(registry->headers, "Content-Type: application/vnd.schemaregistry.v1+json");
    registry->headers = curl_slist_append(registry->headers, "Expect:");
    enum pk_status status = registry->curl && registry->headers
                                ? read_urls(registry, err)
                                : pk_fail(err, PK_REJECT, "libcurl cannot be used");
    if (status == PK_OK)
        status = check_together(config, err);
    if (status == PK_OK)
        status = open_cache(registry, err);
    if (status != PK_OK) {
        registry_close(registry);
        return status;
    }
    set_up_curl(registry);
    *ret_registry = registry;
    return PK_OK;
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    curl_easy_cleanup(registry->curl);
    curl_slist_free_all(registry->headers);
    pk_vec_done(&registry->url);
    pk_arena_done(&registry->arena);
    free(registry);
}

/* ---- asking ---- */

/* PK_RETRY for what is not the registry's word about what was asked. */
static enum pk_status judge(const struct registry *registry, const char *url, CURLcode code, const struct answer *answer,
                            struct pk_err *err)
{
    if (code != CURLE_OK && !answer->too_large)
        return pk_fail(err, PK_RETRY, "the schema registry %.200s does not answer: %.200s", url,
                       registry->curl_error[0] ? registry->curl_error : curl_easy_strerror(code));
    if (answer->http == 401 || answer->http == 403)
        return pk_fail(err, PK_RETRY, "the schema registry %.200s refuses us (%ld): check user and password", url, answer->http);
    int error = 0;
    struct pk_buf message PK_AUTO(pk_buf_done) = {0};
    bool readable = registry_read_error(body_of(answer), &error, &message);
    if (answer->http == 404 && (!readable || error / 100 != 404))
        return pk_fail(err, PK_RETRY, "%.200s answers 404, but not as a schema registry does: check host and path of the URL", url);
    if (answer->http >= 500 || answer->http == 408 || answer->http == 429 || answer->http < 200 ||
        (answer->http >= 300 && answer->http < 400))
        return pk_fail(err, PK_RETRY, "the schema registry %.200s answers %ld%s%.150s", url, answer->http,
                       message.len ? ": " : "", message.len ? message.ptr : "");
    return PK_OK;
}

static enum pk_status ask_one(struct registry *registry, const char *url, const char *path, struct pk_str body,
                              struct answer *answer, struct pk_err *err)
{
    CURL *curl = registry->curl;
    struct pk_buf address PK_AUTO(pk_buf_done) = {0};
    bool https = strncmp(url, "https:", 6) == 0;
    pk_buf_printf(&address, "%s%s", url, path);
    curl_easy_setopt(curl, CURLOPT_URL, address.ptr);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http");
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (body.ptr) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr);
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    pk_buf_reset(&answer->body);
    answer->too_large = false;
    answer->http = 0;
    registry->curl_error[0] = '\0';
    enum pulse_phase before = pulse_enter(registry->pulse, PULSE_REGISTRY);
    CURLcode code = curl_easy_perform(curl);
    pulse_enter(registry->pulse, before);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->http);
    enum pk_status status = judge(registry, url, code, answer, err);
    registry->counters.answered += status == PK_OK;
    registry->counters.failed += status != PK_OK;
    return status;
}

void registry_watch(struct registry *registry, struct pulse *pulse)
{
    registry->pulse = pulse;
}

struct registry_counters registry_counters(const struct registry *registry)
{
    return registry->counters;
}

static enum pk_status ask(struct registry *registry, const char *path, struct pk_str body, struct answer *answer,
                          struct pk_err *err)
{
    size_t count = registry->url.len, first = registry->good;
    enum pk_status status = PK_RETRY;
    struct pk_err why;
    for (size_t i = 0; i < count && status != PK_OK; i++) {
        size_t at = (first + i) % count;
        status = ask_one(registry, registry->url.ptr[at], path, body, answer, i ? &why : err);
        if (status == PK_OK)
            registry->good = at;
    }
    return status;
}

/* What it answered other than 200, as a sentence. */
static enum pk_status refused(const struct answer *answer, const char *what, bool *ret_unknown, struct pk_err *err)
{
    int code = 0;
    struct pk_buf message PK_AUTO(pk_buf_done) = {0};
    bool readable = registry_read_error(body_of(answer), &code, &message);
    if (ret_unknown)
        *ret_unknown = readable && answer->http == 404;
    return pk_fail(err, PK_REJECT, "%s: the schema registry answers %ld%s%.380s", what, answer->http,
                   message.len ? ": " : "", message.len ? message.ptr : "");
}

/* ---- schemas by id ---- */

static void cache_path(const struct registry *registry, uint32_t id, struct pk_buf *path)
{
    pk_buf_reset(path);
    pk_buf_printf(path, "%s/%" PRIu32 ".avsc", registry->folder, id);
}

static bool read_cached(const struct registry *registry, uint32_t id, struct pk_buf *ret_schema)
{
    if (!registry->folder)
        return false;
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    cache_path(registry, id, &path);
    FILE *in PK_AUTO(file_done) = fopen(path.ptr, "rb");
    if (!in)
        return false;
    size_t from = ret_schema->len;
    pk_buf_reserve(ret_schema, MAX_CACHED_BYTES + 1);
    size_t len = fread(ret_schema->ptr + from, 1, MAX_CACHED_BYTES + 1, in);
    if (ferror(in) || len == 0 || len > MAX_CACHED_BYTES)
        return false;
    ret_schema->len = from + len;
    ret_schema->ptr[ret_schema->len] = '\0';
    return true;
}

/* A whole file or none, also if the power fails. That it cannot be written is no reason to stop: the registry is asked again
 * after the next start. */
static void write_cached(const struct registry *registry, uint32_t id, struct pk_str schema)
{
    if (!registry->folder || schema.len == 0 || schema.len > MAX_CACHED_BYTES)
        return;
    struct pk_buf path PK_AUTO(pk_buf_done) = {0}, part PK_AUTO(pk_buf_done) = {0};
    cache_path(registry, id, &path);
    pk_buf_printf(&part, "%s.%ld", path.ptr, (long)getpid());
    FILE *out = fopen(part.ptr, "wb");
    if (!out)
        return;
    bool whole = fwrite(schema.ptr, 1, schema.len, out) == schema.len && fflush(out) == 0 && fsync(fileno(out)) == 0;
    whole = fclose(out) == 0 && whole;
    if (!whole || rename(part.ptr, path.ptr) != 0)
        unlink(part.ptr);
}

void registry_forget(struct registry *registry, uint32_t id)
{
    if (!registry->folder)
        return;
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    cache_path(registry, id, &path);
    unlink(path.ptr);
}

enum pk_status registry_schema(struct registry *registry, uint32_t id, struct pk_buf *ret_schema, bool *ret_unknown,
                               struct pk_err *err)
{
    *ret_unknown = false;
    if (read_cached(registry, id, ret_schema))
        return PK_OK;
    struct answer answer PK_AUTO(answer_done) = {0};
    char path[64], what[64];
    snprintf(path, sizeof path, "/schemas/ids/%" PRIu32, id);
    snprintf(what, sizeof what, "schema id %" PRIu32, id);
    struct pk_err why;
    enum pk_status status = ask(registry, path, (struct pk_str){0}, &answer, &why);
    if (status != PK_OK)
        return pk_fail(err, status, "%s: %.420s", what, why.text);
    if (answer.too_large)
        return pk_fail(err, PK_REJECT, "%s: the answer has more than %d MiB", what, MAX_ANSWER_BYTES >> 20);
    if (answer.http != 200)
        return answer.http == 404 ? refused(&answer, what, ret_unknown, err)
                                  : (refused(&answer, what, NULL, err), PK_RETRY); /* it said nothing about the id */
    size_t from = ret_schema->len;
    status = registry_read_schema(body_of(&answer), ret_schema, &why);
    if (status != PK_OK)
        return pk_fail(err, status, "%s: %.400s", what, why.text);
    write_cached(registry, id, (struct pk_str){ret_schema->ptr + from, ret_schema->len - from});
    return PK_OK;
}

/* ---- subjects ---- */

static void subject_path(const struct registry *registry, const char *before, const char *subject, const char *behind,
                         struct pk_buf *path)
{
    char *escaped = curl_easy_escape(registry->curl, subject, 0);
    pk_buf_printf(path, "%s%s%s", before, escaped ? escaped : "", behind);
    curl_free(escaped);
}

/* Posts {"schema": "..."} */
static enum pk_status post_schema(struct registry *registry, const char *path, struct pk_str schema, struct answer *answer,
                                  struct pk_err *err)
{
    json_t *json = json_pack("{s:s%}", "schema", schema.ptr, schema.len);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        return pk_fail(err, PK_REJECT, "the schema is no valid UTF-8");
    enum pk_status status = ask(registry, path, pk_str(text), answer, err);
    free(text);
    if (status == PK_OK && answer->too_large)
        return pk_fail(err, PK_RETRY, "the schema registry's answer has more than %d MiB", MAX_ANSWER_BYTES >> 20);
    return status;
}

static enum pk_status read_id(const struct answer *answer, const char *subject, uint32_t *ret_id, struct pk_err *err)
{
    struct pk_err why;
    enum pk_status status = registry_read_id(body_of(answer), ret_id, &why);
    return status == PK_OK ? PK_OK : pk_fail(err, status, "subject %.100s: %.300s", subject, why.text);
}

enum pk_status registry_look_up(struct registry *registry, const char *subject, struct pk_str schema, uint32_t *ret_id,
                                bool *ret_unknown, struct pk_err *err)
{
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    struct answer answer PK_AUTO(answer_done) = {0};
    char what[160];
    snprintf(what, sizeof what, "subject %.120s", subject);
    *ret_unknown = false;
    subject_path(registry, "/subjects/", subject, "", &path);
    enum pk_status status = post_schema(registry, path.ptr, schema, &answer, err);
    if (status != PK_OK)
        return status;
    return answer.http == 200 ? read_id(&answer, subject, ret_id, err) : refused(&answer, what, ret_unknown, err);
}

/* True with the reasons if the registry says that the schema does not go with the subject's newest version. */
static bool is_incompatible(struct registry *registry, const char *subject, struct pk_str schema, struct pk_buf *ret_why,
                            enum pk_status *ret_status, struct pk_err *err)
{
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    struct answer answer PK_AUTO(answer_done) = {0};
    char what[160];
    bool compatible = true, unknown;
    snprintf(what, sizeof what, "subject %.120s", subject);
    subject_path(registry, "/compatibility/subjects/", subject, "/versions/latest?verbose=true", &path);
    *ret_status = post_schema(registry, path.ptr, schema, &answer, err);
    if (*ret_status == PK_OK && answer.http == 200)
        *ret_status = registry_read_verdict(body_of(&answer), &compatible, ret_why, err);
    else if (*ret_status == PK_OK) /* 404: there is no version yet, so anything goes */
        *ret_status = refused(&answer, what, &unknown, err) == PK_REJECT && unknown ? PK_OK : PK_REJECT;
    return *ret_status == PK_OK && !compatible;
}

enum pk_status registry_register(struct registry *registry, const char *subject, struct pk_str schema, uint32_t *ret_id,
                                 struct pk_err *err)
{
    struct pk_buf path PK_AUTO(pk_buf_done) = {0};
    struct answer answer PK_AUTO(answer_done) = {0};
    char what[160];
    snprintf(what, sizeof what, "subject %.100s", subject);
    subject_path(registry, "/subjects/", subject, "/versions", &path);
    enum pk_status status = post_schema(registry, path.ptr, schema, &answer, err);
    if (status != PK_OK)
        return status;
    if (answer.http == 200 || answer.http == 201)
        return read_id(&answer, subject, ret_id, err);
    /* Some registries say with the refusal what does not fit, some only when asked. */
    struct pk_buf why PK_AUTO(pk_buf_done) = {0};
    struct pk_err ignored;
    if (answer.http == 409 && is_incompatible(registry, subject, schema, &why, &status, &ignored) && why.len)
        return pk_fail(err, PK_REJECT, "%s: the schema is not compatible with the version before: %.380s", what, why.ptr);
    return refused(&answer, what, NULL, err);
}

enum pk_status registry_check(struct registry *registry, const char *subject, struct pk_str schema, struct pk_err *err)
{
    struct pk_buf why PK_AUTO(pk_buf_done) = {0};
    enum pk_status status;
    if (is_incompatible(registry, subject, schema, &why, &status, err))
        return pk_fail(err, PK_REJECT, "subject %.100s: the schema is not compatible with the version before%s%.350s", subject,
                       why.len ? ": " : "", why.len ? why.ptr : "");
    return status;
}
