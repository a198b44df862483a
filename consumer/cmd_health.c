/* SPDX-License-Identifier: Apache-2.0 */
/* health: asks a consumer that runs with --http whether it is ready or alive. For probes where no other program is at
 * hand, as in a container's image. */
#include "consumer_commands.h"
#include "health_http.h"

#include <stdio.h>
#include <string.h>

static enum pk_status read_question(const struct consumer_options *options, const char **ret_path, struct pk_err *err)
{
    const char *name = options->rest.rest.len ? options->rest.rest.ptr[0] : "ready";
    if (options->rest.rest.len > 1 || (strcmp(name, "ready") != 0 && strcmp(name, "live") != 0))
        return pk_fail(err, PK_REJECT, "health takes ready or live: polku-consumer health --help");
    if (!options->http)
        return pk_fail(err, PK_REJECT, "--http is not set: where the consumer answers, as in its own options");
    *ret_path = strcmp(name, "live") == 0 ? "/livez" : "/readyz";
    return PK_OK;
}

int consumer_health(const struct consumer_options *options)
{
    struct pk_err err = {0};
    const char *path = "";
    enum pk_status status = read_question(options, &path, &err);
    char text[1024];
    if (status == PK_OK)
        status = health_http_ask(options->http, path, text, sizeof text, &err);
    if (status == PK_OK || status == PK_RETRY) {
        fputs(text, stdout);
        return status == PK_OK ? CONSUMER_OK : CONSUMER_STOPPED;
    }
    consumer_log_failure("no answer about health", &err);
    return status == PK_REJECT ? CONSUMER_USAGE : CONSUMER_STOPPED;
}
