/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml.h - the system's yaml.h, which our own header of that name hides. Include it with <>. */
#ifndef POLKU_LIBYAML_H
#define POLKU_LIBYAML_H
#include_next <yaml.h>
#endif
