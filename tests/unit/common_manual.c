/* SPDX-License-Identifier: Apache-2.0 */
/* A manual and a completion from two small tables. */
#include <criterion/criterion.h>

#include "manual.h"

static const struct option option[] = {
    {"from", "run", OPTION_TEXT, "early", 0, 0, 0, "early|late", "where to begin"},
    {"rules", "run", OPTION_TEXT, NULL, 0, 0, 0, "FILE", "a file with a \\ and a line\nthat begins anew"},
    {"secret", "run", OPTION_SECRET_FILE, NULL, 0, 0, 0, NULL, "a secret"},
    {"most", "*", OPTION_INT, "5", 1, 9, 0, NULL, "how many"},
    {"on", "run", OPTION_BOOL, "true", 0, 0, 0, NULL, "a switch"},
};
static const struct option_set options = {option, PK_COUNT(option), "some-program", "SOME_"};
static const struct manual_command command[] = {
    {"run", "do it", "[FILE ...]", "  this one   means this,\n             and that\n.no request of roff\n"},
    {"look", "show it", "here|there A", NULL},
};
static const struct manual manual = {&options, command, PK_COUNT(command), "1.2", "does things", "About it.\n\nAnd more.\n",
                                     "Exit codes: 0 done.\n", "other(1), third(5)"};
static struct pk_buf text;

static void clean_up(void)
{
    pk_buf_done(&text);
}

TestSuite(manual, .fini = clean_up);

static bool page_has(const char *part)
{
    if (!text.len)
        manual_page(&manual, &text);
    return strstr(text.ptr, part);
}

static bool completion_has(const char *part)
{
    if (!text.len)
        manual_completion(&manual, &text);
    return strstr(text.ptr, part);
}

Test(manual, text_is_no_roff)
{
    cr_assert(page_has("\n\\&.no request of roff\n"));
    cr_assert(page_has("A file with a \\e and a line"));
    cr_assert(page_has("\nsome\\-program \\- does things\n"));
}

Test(manual, options_tell_value_default_and_range)
{
    cr_assert(page_has(".BR \\-\\-from \" \\fIearly|late\\fR\"\nWhere to begin.\nDefault early.\n(\\fIrun\\fR)\n"));
    cr_assert(page_has(".BR \\-\\-secret\\-file \" \\fIFILE\\fR\"\n"));
    cr_assert(page_has("Default 5, range 1..9.\n.TP\n"), "an option of all commands names none");
    cr_assert(page_has("\n.BR \\-\\-no\\-on\nswitches it off.\n"));
}

Test(manual, lines_of_a_list_become_one)
{
    cr_assert(page_has(".RS\n.TP\n.B this one\nmeans this,\nand that\n.RE\n"));
    cr_assert(page_has(".SH EXIT STATUS\n.PP\n0 done.\n"));
    cr_assert(page_has(".BR other (1),\n.BR third (5)\n"));
}

Test(manual, completion_knows_words_files_and_switches)
{
    cr_assert(completion_has("--from) _polku_words 'early late'; return ;;"));
    cr_assert(completion_has("--rules|--secret-file|--config|--kafka.*-file) _polku_paths -f; return ;;"));
    cr_assert(completion_has("    --most|--kafka.*) return ;;"));
    cr_assert(completion_has("options='--from --rules --secret-file --most --no-on --config --help'"));
    cr_assert(completion_has("options='--most --config --help'\n        words='here there'\n        files= ;;"));
}
