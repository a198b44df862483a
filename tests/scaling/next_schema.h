/* SPDX-License-Identifier: Apache-2.0 */
/* next_schema.h - included before everything else in a few files of polku-consumer-next: a program that knows one migration
 * more than there is, for tests of upgrades. */
#ifndef POLKU_NEXT_SCHEMA_H
#define POLKU_NEXT_SCHEMA_H

#include "store.h"

#define STORE_SCHEMA (STORE_SCHEMA + 1) /* the one inside is that of store.h: a macro does not expand itself */

#endif
