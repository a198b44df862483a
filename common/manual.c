/* SPDX-License-Identifier: Apache-2.0 */
#include "manual.h"

#include <ctype.h>

/* ---- man page ---- */

/* Text of ours as text of roff: its escapes, its requests at the begin of a line, hyphens that can be copied. */
static void roff(struct pk_buf *out, const char *text, size_t len)
{
    if (len > 0 && (*text == '.' || *text == '\''))
        pk_buf_text(out, "\\&");
    for (const char *end = text + len; text < end; text++) {
        if (*text == '\\')
            pk_buf_text(out, "\\e");
        else if (*text == '-')
            pk_buf_text(out, "\\-");
        else
            pk_buf_add(out, text, 1);
    }
}

static void roff_line(struct pk_buf *out, const char *text, size_t len)
{
    roff(out, text, len);
    pk_buf_text(out, "\n");
}

/* A line of a list: two spaces, a term, two spaces or more, what it means. */
static const char *end_of_term(const char *line, size_t len)
{
    if (len < 4 || strncmp(line, "  ", 2) != 0 || line[2] == ' ')
        return NULL;
    const char *gap = memmem(line + 2, len - 2, "  ", 2);
    return gap;
}

static void paragraphs(struct pk_buf *out, const char *text)
{
    bool in_list = false, begun = false;
    while (*text) {
        size_t len = strcspn(text, "\n");
        const char *term = end_of_term(text, len);
        if (len == 0) {
            begun = false;
        } else if (term) {
            size_t rest = (size_t)(text + len - term), blanks = strspn(term, " ");
            pk_buf_text(out, in_list ? ".TP\n.B " : ".RS\n.TP\n.B ");
            roff_line(out, text + 2, (size_t)(term - text) - 2);
            roff_line(out, term + blanks, rest - blanks);
            in_list = begun = true;
        } else {
            size_t blanks = strspn(text, " ");
            if (in_list && blanks == 0) {
                pk_buf_text(out, ".RE\n");
                in_list = begun = false;
            }
            if (!begun)
                pk_buf_text(out, ".PP\n");
            begun = true;
            roff_line(out, text + blanks, len - blanks);
        }
        text += len;
        text += *text == '\n';
    }
    if (in_list)
        pk_buf_text(out, ".RE\n");
}

static void sentence(struct pk_buf *out, const char *text)
{
    char first[1] = {(char)toupper((unsigned char)text[0])};
    roff(out, first, 1);
    roff(out, text + 1, strlen(text + 1));
    pk_buf_text(out, ".\n");
}

static void page_commands(const struct manual *m, struct pk_buf *out)
{
    pk_buf_text(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < m->count; i++) {
        const struct manual_command *command = &m->command[i];
        pk_buf_text(out, ".SS \"");
        roff(out, command->name, strlen(command->name));
        if (command->arguments && *command->arguments) {
            pk_buf_text(out, " ");
            roff(out, command->arguments, strlen(command->arguments));
        }
        pk_buf_text(out, "\"\n");
        sentence(out, command->help);
        if (command->more)
            paragraphs(out, command->more);
    }
}

static void page_option(const struct option *option, struct pk_buf *out)
{
    char name[64], range[80];
    const char *value = options_value_name(option);
    options_written_name(option, name);
    pk_buf_text(out, ".TP\n.BR \\-\\-");
    roff(out, name, strlen(name));
    if (*value) {
        pk_buf_text(out, " \" \\fI");
        roff(out, value, strlen(value));
        pk_buf_text(out, "\\fR\"");
    }
    pk_buf_text(out, "\n");
    sentence(out, option->help);
    if (option->fallback && *option->fallback && option->type != OPTION_BOOL) {
        pk_buf_text(out, "Default ");
        roff(out, option->fallback, strlen(option->fallback));
        if (options_range(option, range)) {
            pk_buf_text(out, ", range ");
            roff(out, range, strlen(range));
        }
        pk_buf_text(out, ".\n");
    } else if (option->fallback && strcmp(option->fallback, "true") == 0) {
        pk_buf_text(out, "On by default;\n.BR \\-\\-no\\-");
        roff(out, name, strlen(name));
        pk_buf_text(out, "\nswitches it off.\n");
    }
    if (strcmp(option->commands, "*") != 0) {
        pk_buf_text(out, "(\\fI");
        roff(out, option->commands, strlen(option->commands));
        pk_buf_text(out, "\\fR)\n");
    }
}

static void page_options(const struct manual *m, struct pk_buf *out)
{
    pk_buf_text(out, ".SH OPTIONS\nAs\n.BI \\-\\-name \" value\"\nor\n.BI \\-\\-name= value\\fR;\n"
                     "in italics at the end the commands that have it, if not all do.\n");
    for (size_t i = 0; i < m->options->count; i++)
        page_option(&m->options->option[i], out);
    pk_buf_text(out, ".TP\n.BI \\-\\-config \" FILE\"\nRead options from this file: lines of \\(dqname = value\\(dq, # comments.\n"
                     ".TP\n.BI \\-\\-kafka. \"PROPERTY VALUE\"\nAny property of librdkafka, passed through; one that is a secret as\n"
                     ".BI \\-\\-kafka. PROPERTY \\-file \" FILE\\fR.\"\n");
    pk_buf_printf(out, ".SH ENVIRONMENT\nEvery option can be set as\n.BI %s NAME\\fR,\n"
                       "in capitals, with underscores for dashes. What comes later wins: default, file, environment, arguments.\n",
                  m->options->env_prefix);
    pk_buf_text(out, "Secrets are never values, only names of files.\n");
}

/* "polku.yaml(5), polku-producer(1)" */
static void page_see(const char *see, struct pk_buf *out)
{
    pk_buf_text(out, ".SH SEE ALSO\n");
    while (*see) {
        size_t name = strcspn(see, "("), all = strcspn(see, ",");
        pk_buf_text(out, ".BR ");
        roff(out, see, name);
        pk_buf_text(out, " ");
        roff(out, see + name, all - name);
        pk_buf_text(out, see[all] ? ",\n" : "\n");
        see += all;
        see += strspn(see, ", ");
    }
}

void manual_page(const struct manual *m, struct pk_buf *out)
{
    const char *program = m->options->program;
    pk_buf_text(out, ".\\\" Made by `options --man` of the program.\n.TH \"");
    for (const char *at = program; *at; at++) {
        char capital = (char)toupper((unsigned char)*at);
        roff(out, &capital, 1);
    }
    pk_buf_printf(out, "\" 1 \"\" \"polku %s\" \"Polku\"\n.ad l\n.nh\n.SH NAME\n", m->version);
    roff(out, program, strlen(program));
    pk_buf_text(out, " \\- ");
    roff_line(out, m->title, strlen(m->title));
    pk_buf_text(out, ".SH SYNOPSIS\n");
    for (size_t i = 0; i < m->count; i++) {
        const struct manual_command *command = &m->command[i];
        pk_buf_text(out, i ? ".br\n.B " : ".B ");
        roff(out, program, strlen(program));
        pk_buf_text(out, " ");
        roff(out, command->name, strlen(command->name));
        pk_buf_text(out, "\n.RI [ OPTIONS ]");
        if (command->arguments && *command->arguments) {
            pk_buf_text(out, " \" ");
            roff(out, command->arguments, strlen(command->arguments));
            pk_buf_text(out, "\"");
        }
        pk_buf_text(out, "\n");
    }
    pk_buf_text(out, ".br\n.B ");
    roff(out, program, strlen(program));
    pk_buf_text(out, " options\n.RB [ \\-\\-markdown | \\-\\-man | \\-\\-bash ]\n.br\n.B ");
    roff(out, program, strlen(program));
    pk_buf_text(out, " \\-\\-version\n.SH DESCRIPTION\n");
    paragraphs(out, m->about);
    page_commands(m, out);
    page_options(m, out);
    pk_buf_text(out, ".SH EXIT STATUS\n");
    paragraphs(out, m->exit_codes + (strncmp(m->exit_codes, "Exit codes: ", 12) == 0 ? 12 : 0));
    page_see(m->see, out);
}

/* ---- completion ---- */

/* "show|set [PLACE...]" -> "show set", "[checks]" -> "checks": words in small letters are meant as they stand. */
static void words_of(const char *arguments, struct pk_buf *out)
{
    size_t len = arguments ? strcspn(arguments, " ") : 0;
    if (strspn(arguments ? arguments : "", "abcdefghijklmnopqrstuvwxyz-|[]") < len)
        return;
    for (size_t i = 0; i < len; i++)
        if (!strchr("[]", arguments[i]))
            pk_buf_add(out, arguments[i] == '|' ? " " : &arguments[i], 1);
}

static bool takes_files(const char *arguments)
{
    return arguments && strstr(arguments, "FILE");
}

/* One line of `case`: options whose value is completed in the same way. */
static void case_of(const struct option_set *set, const char *value_name, const char *action, struct pk_buf *out)
{
    char name[64];
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(options_value_name(&set->option[i]), value_name) == 0)
            pk_buf_printf(out, "%s--%s", count++ ? "|" : "    ", options_written_name(&set->option[i], name));
    if (strcmp(value_name, "FILE") == 0)
        pk_buf_printf(out, "%s--config|--kafka.*-file", count++ ? "|" : "    ");
    if (count)
        pk_buf_printf(out, ") %s; return ;;\n", action);
}

static void case_of_words(const struct option_set *set, struct pk_buf *out)
{
    char name[64];
    for (size_t i = 0; i < set->count; i++) {
        struct pk_buf words PK_AUTO(pk_buf_done) = {0};
        words_of(options_value_name(&set->option[i]), &words);
        if (words.len)
            pk_buf_printf(out, "    --%s) _polku_words '%s'; return ;;\n", options_written_name(&set->option[i], name), words.ptr);
    }
}

static void case_of_others(const struct option_set *set, struct pk_buf *out)
{
    char name[64];
    pk_buf_text(out, "    ");
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->option[i];
        if (option->type != OPTION_BOOL && !strchr(options_value_name(option), '|') &&
            strcmp(options_value_name(option), "FILE") != 0 && strcmp(options_value_name(option), "DIR") != 0)
            pk_buf_printf(out, "--%s|", options_written_name(option, name));
    }
    pk_buf_text(out, "--kafka.*) return ;;\n");
}

static void case_of_command(const struct manual *m, const struct manual_command *command, struct pk_buf *out)
{
    char name[64];
    pk_buf_printf(out, "    %s)\n        options='", command->name);
    for (size_t i = 0; i < m->options->count; i++) {
        const struct option *option = &m->options->option[i];
        bool on = option->type == OPTION_BOOL && option->fallback && strcmp(option->fallback, "true") == 0;
        if (options_belongs(option, command->name))
            pk_buf_printf(out, "--%s%s ", on ? "no-" : "", options_written_name(option, name));
    }
    pk_buf_text(out, "--config --help'\n        words='");
    words_of(command->arguments, out);
    pk_buf_printf(out, "'\n        files=%s ;;\n", takes_files(command->arguments) ? "yes" : "");
}

void manual_completion(const struct manual *m, struct pk_buf *out)
{
    const char *program = m->options->program;
    pk_buf_printf(out,
                  "# Completion of %s for bash, made by `%s options --bash`.\n"
                  "# zsh: autoload -U +X bashcompinit && bashcompinit, then source this file.\n\n"
                  "_polku_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\"); }\n"
                  "_polku_paths() {\n"
                  "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$current\")\n"
                  "    compopt -o filenames 2>/dev/null\n"
                  "}\n\n",
                  program, program);
    pk_buf_printf(out, "_%s() {\n"
                       "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options words files\n"
                       "    COMPREPLY=()\n"
                       "    # bash takes --name=value for three words\n"
                       "    if [ \"$current\" = = ]; then\n"
                       "        current=\n"
                       "    elif [ \"$before\" = = ]; then\n"
                       "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
                       "    fi\n"
                       "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                       "        _polku_words '", program);
    for (size_t i = 0; i < m->count; i++)
        pk_buf_printf(out, "%s ", m->command[i].name);
    pk_buf_text(out, "options help --help --version'\n        return\n    fi\n    case $before in\n");
    case_of(m->options, "FILE", "_polku_paths -f", out);
    case_of(m->options, "DIR", "_polku_paths -d", out);
    case_of_words(m->options, out);
    case_of_others(m->options, out);
    pk_buf_text(out, "    esac\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < m->count; i++)
        case_of_command(m, &m->command[i], out);
    pk_buf_printf(out, "    options) options='--markdown --man --bash' ;;\n"
                       "    esac\n"
                       "    case $current in\n"
                       "    -*) _polku_words \"$options\" ;;\n"
                       "    *)\n"
                       "        if [ -n \"$files\" ]; then\n"
                       "            _polku_paths -f\n"
                       "        elif [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                       "            _polku_words \"$words\"\n"
                       "        fi ;;\n"
                       "    esac\n"
                       "}\n"
                       "complete -F _%s %s\n", program, program);
}
