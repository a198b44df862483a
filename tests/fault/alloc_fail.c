/* SPDX-License-Identifier: Apache-2.0 */
/* One allocation that fails, preloaded into a program. POLKU_ALLOC_FAIL is "own N FILE" or "all N FILE": the N-th call of
 * malloc, calloc or realloc from the program's own code, or from any library too, once FILE exists ("-": from the start).
 * "allocation fails" on standard error says that it happened. */
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *ptr, size_t bytes);

static struct {
    _Atomic long left; /* 0: nothing fails any more */
    _Atomic int counting;
    int own;
    char file[1024];
    uintptr_t from, to; /* where the program's own code lies */
} plan;

static int first_object(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size, (void)unused;
    plan.from = UINTPTR_MAX;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD)
            continue;
        plan.from = start < plan.from ? start : plan.from;
        plan.to = start + part->p_memsz > plan.to ? start + part->p_memsz : plan.to;
    }
    return 1; /* the program comes first; no more */
}

static __attribute__((constructor)) void read_plan(void)
{
    const char *text = getenv("POLKU_ALLOC_FAIL");
    char whose[8];
    long n;
    if (!text || sscanf(text, "%7s %ld %1023s", whose, &n, plan.file) != 3)
        return;
    dl_iterate_phdr(first_object, NULL);
    plan.own = strcmp(whose, "own") == 0;
    plan.counting = strcmp(plan.file, "-") == 0;
    plan.left = n;
}

static int fails(const void *caller)
{
    static const char told[] = "allocation fails\n";
    uintptr_t at = (uintptr_t)caller;
    if (plan.left <= 0 || (plan.own && (at < plan.from || at >= plan.to)))
        return 0;
    int before = errno;
    if (!plan.counting && access(plan.file, F_OK) == 0)
        plan.counting = 1;
    errno = before;
    if (!plan.counting || atomic_fetch_sub(&plan.left, 1) != 1)
        return 0;
    if (write(STDERR_FILENO, told, sizeof told - 1) < 0)
        abort();
    errno = ENOMEM;
    return 1;
}

PUBLIC void *malloc(size_t bytes)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}
PUBLIC void *calloc(size_t count, size_t bytes)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}
PUBLIC void *realloc(void *ptr, size_t bytes)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(ptr, bytes);
}
