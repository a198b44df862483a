/* SPDX-License-Identifier: Apache-2.0 */
#include "consumer_commands.h"
#include "libraries.h"

#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <microhttpd.h>
#include <sodium.h>
#include <stdio.h>

int consumer_version(void)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    libraries_text(&text);
    printf("polku-consumer " POLKU_VERSION "\nlibrdkafka %s, libpq %d.%d, libsodium %s, libmicrohttpd %s, %s\n", rd_kafka_version_str(),
           PQlibVersion() / 10000, PQlibVersion() % 10000, sodium_version_string(), MHD_get_version(), text.ptr);
    return CONSUMER_OK;
}
