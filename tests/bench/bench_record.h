/* SPDX-License-Identifier: Apache-2.0 */
/* bench_record.h - the file of recorded statements, from bench_record.c to bench_replay.c on the same machine.
 *
 * One byte of kind each, then: EXEC sql; PREPARE name sql; QUERY name, number of parameters, parameters; SYNC nothing.
 * Texts (with terminator) and parameters are an int32 of length, -1 for null, and the bytes. */
#ifndef POLKU_BENCH_RECORD_H
#define POLKU_BENCH_RECORD_H

#include <stdint.h>

enum record_kind { RECORD_EXEC = 'E', RECORD_PREPARE = 'P', RECORD_QUERY = 'Q', RECORD_SYNC = 'S' };

#endif
