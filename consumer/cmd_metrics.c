/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: the table of metrics, from metrics.def. */
#include "consumer_commands.h"
#include "metrics_text.h"

#include <stdio.h>

int consumer_metrics(const struct consumer_options *options)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    (void)options;
    metrics_markdown(&text);
    fputs(text.ptr, stdout);
    return CONSUMER_OK;
}
