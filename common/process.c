/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <sys/prctl.h>
#include <sys/stat.h>

void process_close(void)
{
    umask(077);
#ifndef __SANITIZE_ADDRESS__
    /* Not by a limit of 0: a core that is piped to a collector does not mind it. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

void process_allow_core_files(void)
{
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
