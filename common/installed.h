/* SPDX-License-Identifier: Apache-2.0 */
/* installed.h - where the files are that were installed together with the program. */
#ifndef POLKU_INSTALLED_H
#define POLKU_INSTALLED_H

#include "pk.h"

/* PREFIX/share/polku/`name` of the PREFIX/bin that the program runs from, wherever it was moved to; NULL if nothing is
 * there, as for a program in its build folder. Found by the program itself: what it reads is always of its own version. */
const char *installed_path(const char *name, struct pk_arena *arena);

#endif
