/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - what this process gives away of its memory and files: both programs hold secrets and customers' data. */
#ifndef POLKU_PROCESS_H
#define POLKU_PROCESS_H

#include <stdbool.h>

/* To be called before anything is read. From here on no core file is written and nobody but root attaches a debugger,
 * and files that are made are this user's only. Builds with sanitizers stay open: LeakSanitizer attaches to its own process. */
void process_close(void);

/* Takes back the first: core files, as far as the limits of the system allow. */
void process_allow_core_files(void);

#endif
