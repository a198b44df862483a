/* SPDX-License-Identifier: Apache-2.0 */
#include "libraries.h"

#include <curl/curl.h>
#include <jansson.h>
#include <libyaml.h>

void libraries_text(struct pk_buf *out)
{
    pk_buf_printf(out, "libcurl %s, jansson %s, libyaml %s, avro-c " POLKU_AVRO_VERSION,
                  curl_version_info(CURLVERSION_NOW)->version, jansson_version_str(), yaml_get_version_string());
}
