/* SPDX-License-Identifier: Apache-2.0 */
/* fault_proxy PORT TARGET - stands between a client and its server and breaks the network on request.
 *
 * Listens on 127.0.0.1:PORT (0 = any; the first line of output is `listening PORT`) and forwards to TARGET: HOST:PORT, or
 * the path of a unix socket. Commands come as lines on standard input, each is answered with one line, `ok` or `error WHY`;
 * the end of standard input ends the proxy. Directions: `up` = from the client to the server, `down` = from the server.
 *
 *   pass                  no delay, no limit, nothing armed, connections accepted; frozen connections stay so
 *   delay MS [up|down]    every byte arrives so much later
 *   slow BYTES [up|down]  as many bytes per second and connection
 *   cut [end|frozen]      all connections are reset now, or closed as if their peers had; or the frozen ones are reset
 *   cut-after N up|down   N bytes from now in that direction are forwarded, then their connection is cut; once
 *   swallow-commit        the next COMMIT of PostgreSQL that wrote rows: the server's answer to it is kept, then the cut; once
 *   half-open             the connections of now are frozen: nothing is forwarded, nothing is closed, both sides believe
 *   thaw                  frozen connections go on with what was sent meanwhile
 *   refuse                new connections are refused, until `pass`
 *   target TARGET         where new connections go
 *   status                ok connections=.. open=.. frozen=.. failed=.. up=.. down=.. commits=.. cuts=.. swallowed=.. armed=..
 *
 * One thread, one poll; nothing is lost but by command, and order is kept in each direction. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { UP, DOWN, DIRECTIONS };
enum { READ_BYTES = 65536, QUEUE_BYTES = 4 << 20, MOST_CONNECTIONS = 500, TARGET_CHARS = 200 };

struct chunk { /* bytes on their way */
    struct chunk *next;
    int64_t due_us;
    size_t len, sent;
    char byte[];
};

struct flow { /* one direction of one connection */
    struct chunk *first, **last;
    size_t queued;
    double allowance; /* with a limit: bytes that may go now */
    int64_t filled_at_us;
    bool ended, told; /* the sender closed; the receiver was told so */
};

/* The server's side of PostgreSQL's protocol, just enough to see which COMMIT succeeded. */
struct answers {
    enum { BEFORE_FIRST, HEADER, BODY, OPAQUE } at;
    uint8_t header[5], tag[8];
    size_t have, body, read;
    bool wrote; /* since BEGIN */
};

struct connection {
    int fd[DIRECTIONS]; /* fd[UP] is read for the direction UP: the client's; fd[DOWN]: the server's */
    struct flow flow[DIRECTIONS];
    struct answers answers;
    bool frozen, doomed; /* doomed: to be cut when everything down is forwarded */
    struct connection *next;
};

static struct {
    int64_t delay_us[DIRECTIONS], rate[DIRECTIONS];
    int64_t cut_after[DIRECTIONS]; /* -1 = not armed */
    bool swallow, refuse;
    char target[TARGET_CHARS];
} mode = {.cut_after = {-1, -1}};

static struct {
    uint64_t connections, failed, cuts, swallowed, commits, bytes[DIRECTIONS];
} count;

static struct connection *connections;
static size_t open_connections;
static int listener = -1, port;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "fault_proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- sockets ---- */

static void prepare_socket(int fd)
{
    int one = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a unix socket has none, which is as good */
}

/* The port stays ours while connections are refused: the socket is bound and does not listen. */
static void bind_port(bool listening)
{
    if (listener >= 0)
        close(listener);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || (listening && listen(listener, 64) != 0))
        die("cannot listen");
    prepare_socket(listener);
    getsockname(listener, (struct sockaddr *)&address, &len);
    port = ntohs(address.sin_port);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_target(void)
{
    if (mode.target[0] == '/')
        return connect_unix(mode.target);
    char host[TARGET_CHARS];
    snprintf(host, sizeof host, "%s", mode.target);
    char *colon = strrchr(host, ':');
    if (!colon)
        return -1;
    *colon = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (fd >= 0) {
        prepare_socket(fd);
        if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static void close_abruptly(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
}

/* ---- connections ---- */

static void accept_one(void)
{
    int client = accept(listener, NULL, NULL);
    if (client < 0)
        return;
    prepare_socket(client);
    int server = open_connections < MOST_CONNECTIONS ? connect_target() : -1;
    if (server < 0) {
        count.failed++;
        close_abruptly(client);
        return;
    }
    prepare_socket(server);
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("memory");
    c->fd[UP] = client;
    c->fd[DOWN] = server;
    for (int d = 0; d < DIRECTIONS; d++)
        c->flow[d].last = &c->flow[d].first;
    c->next = connections;
    connections = c;
    open_connections++;
    count.connections++;
}

static void drop_chunk(struct flow *flow)
{
    struct chunk *chunk = flow->first;
    flow->first = chunk->next;
    if (!flow->first)
        flow->last = &flow->first;
    flow->queued -= chunk->len;
    free(chunk);
}

/* Takes the connection off both sides; the list forgets it at the end of the round. */
static void cut(struct connection *c, bool abruptly)
{
    for (int d = 0; d < DIRECTIONS; d++) {
        if (c->fd[d] < 0)
            continue;
        abruptly ? close_abruptly(c->fd[d]) : (void)close(c->fd[d]);
        c->fd[d] = -1;
        while (c->flow[d].first)
            drop_chunk(&c->flow[d]);
    }
}

static void bury(void)
{
    for (struct connection **at = &connections; *at;) {
        struct connection *c = *at;
        if (c->fd[UP] >= 0) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        free(c);
        open_connections--;
    }
}

/* ---- PostgreSQL's answers ---- */

/* True: a COMMIT that wrote rows has succeeded. */
static bool tag_read(struct answers *a)
{
    static const char *const writes[] = {"INSERT ", "UPDATE ", "DELETE ", "COPY "};
    const char *tag = (const char *)a->tag;
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        if (strncmp(tag, writes[i], strlen(writes[i])) == 0)
            a->wrote = true;
    if (strcmp(tag, "BEGIN") == 0)
        a->wrote = false;
    bool done = strcmp(tag, "COMMIT") == 0 && a->wrote;
    count.commits += done;
    a->wrote &= !done;
    return done;
}

/* Reads on; if a COMMIT is to be swallowed, returns how many bytes come before its answer, else `len`. */
static size_t read_answers(struct answers *a, const uint8_t *byte, size_t len)
{
    size_t begin = 0; /* of the message that is being read, as far as it is in these bytes */
    for (size_t i = 0; i < len && a->at != OPAQUE;) {
        if (a->at == BEFORE_FIRST) { /* one byte says no to encryption, before the first message */
            if (byte[i] == 'N')
                i++;
            else
                a->at = byte[i] == 'R' || byte[i] == 'E' ? HEADER : OPAQUE;
            begin = i;
        } else if (a->at == HEADER) {
            if (a->have == 0)
                begin = i;
            a->header[a->have++] = byte[i++];
            if (a->have < sizeof a->header)
                continue;
            uint32_t length = (uint32_t)a->header[1] << 24 | (uint32_t)a->header[2] << 16 | (uint32_t)a->header[3] << 8 | a->header[4];
            a->body = length > 4 ? length - 4 : 0;
            a->have = a->read = 0;
            a->at = a->body ? BODY : HEADER;
        } else {
            size_t part = a->body - a->read < len - i ? a->body - a->read : len - i;
            for (size_t k = 0; k < part && a->read + k < sizeof a->tag - 1; k++)
                a->tag[a->read + k] = byte[i + k];
            a->read += part;
            i += part;
            if (a->read < a->body)
                continue;
            a->tag[a->body < sizeof a->tag ? a->body : sizeof a->tag - 1] = '\0';
            a->at = HEADER;
            if (a->header[0] == 'C' && tag_read(a) && mode.swallow)
                return begin;
        }
    }
    return len;
}

/* ---- forwarding ---- */

static void receive(struct connection *c, int d)
{
    struct flow *flow = &c->flow[d];
    struct chunk *chunk = malloc(sizeof *chunk + READ_BYTES);
    if (!chunk)
        die("memory");
    ssize_t got = recv(c->fd[d], chunk->byte, READ_BYTES, 0);
    if (got <= 0) {
        free(chunk);
        if (got == 0)
            flow->ended = true;
        else if (errno != EAGAIN && errno != EINTR)
            cut(c, true);
        return;
    }
    size_t len = (size_t)got;
    if (d == DOWN) {
        size_t before = read_answers(&c->answers, (const uint8_t *)chunk->byte, len);
        if (before < len) {
            len = before;
            mode.swallow = false;
            c->doomed = true;
            count.swallowed++;
        }
    }
    chunk = realloc(chunk, sizeof *chunk + len);
    if (!chunk)
        die("memory");
    *chunk = (struct chunk){.due_us = now_us() + mode.delay_us[d], .len = len};
    *flow->last = chunk;
    flow->last = &chunk->next;
    flow->queued += len;
}

static size_t allowed(struct flow *flow, int d, size_t wanted)
{
    if (!mode.rate[d])
        return wanted;
    int64_t now = now_us();
    double most = (double)mode.rate[d] / 20; /* no more at once than a twentieth of a second */
    flow->allowance += (double)(now - flow->filled_at_us) * 1e-6 * (double)mode.rate[d];
    if (flow->allowance > most + 1)
        flow->allowance = most + 1;
    flow->filled_at_us = now;
    return flow->allowance < (double)wanted ? (size_t)flow->allowance : wanted;
}

/* Sends what is due; false when no more can go now. */
static bool send_some(struct connection *c, int d)
{
    struct flow *flow = &c->flow[d];
    struct chunk *chunk = flow->first;
    size_t len = allowed(flow, d, chunk->len - chunk->sent);
    bool last = mode.cut_after[d] >= 0 && (int64_t)len >= mode.cut_after[d];
    if (last)
        len = (size_t)mode.cut_after[d];
    ssize_t sent = len ? send(c->fd[!d], chunk->byte + chunk->sent, len, MSG_NOSIGNAL) : 0;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            cut(c, true);
        return false;
    }
    chunk->sent += (size_t)sent;
    count.bytes[d] += (uint64_t)sent;
    if (mode.rate[d])
        flow->allowance -= (double)sent;
    if (mode.cut_after[d] >= 0)
        mode.cut_after[d] -= sent;
    if (last && mode.cut_after[d] == 0) {
        mode.cut_after[UP] = mode.cut_after[DOWN] = -1;
        count.cuts++;
        cut(c, false);
        return false;
    }
    if (chunk->sent == chunk->len)
        drop_chunk(flow);
    return sent > 0 && (size_t)sent == len && !mode.rate[d];
}

static void forward(struct connection *c, int d)
{
    struct flow *flow = &c->flow[d];
    while (flow->first && flow->first->len == 0)
        drop_chunk(flow);
    while (flow->first && flow->first->due_us <= now_us() && send_some(c, d))
        ;
    if (c->fd[d] < 0)
        return;
    if (d == DOWN && c->doomed && !flow->first)
        cut(c, false);
    else if (flow->ended && !flow->first && !flow->told) {
        flow->told = true;
        shutdown(c->fd[!d], SHUT_WR);
    }
    if (c->flow[UP].told && c->flow[DOWN].told)
        cut(c, false);
}

/* ---- commands ---- */

static bool take_direction(const char *word, bool direction[DIRECTIONS])
{
    direction[UP] = !word || strcmp(word, "up") == 0;
    direction[DOWN] = !word || strcmp(word, "down") == 0;
    return direction[UP] || direction[DOWN];
}

static bool take_number(const char *word, int64_t *ret)
{
    char *end = NULL;
    int64_t number = word ? strtoll(word, &end, 10) : -1;
    if (number < 0 || *end)
        return false;
    *ret = number;
    return true;
}

static void cut_all(bool frozen, bool abruptly)
{
    for (struct connection *c = connections; c; c = c->next)
        if (c->frozen == frozen) {
            cut(c, abruptly);
            count.cuts++;
        }
}

static void freeze_all(bool frozen)
{
    for (struct connection *c = connections; c; c = c->next)
        c->frozen = frozen;
}

static void pass(void)
{
    if (mode.refuse)
        bind_port(true);
    for (int d = 0; d < DIRECTIONS; d++) {
        mode.delay_us[d] = mode.rate[d] = 0;
        mode.cut_after[d] = -1;
    }
    mode.swallow = mode.refuse = false;
}

static void show_status(void)
{
    size_t frozen = 0;
    for (struct connection *c = connections; c; c = c->next)
        frozen += c->frozen;
    printf("ok connections=%" PRIu64 " open=%zu frozen=%zu failed=%" PRIu64 " up=%" PRIu64 " down=%" PRIu64 " commits=%" PRIu64
           " cuts=%" PRIu64 " swallowed=%" PRIu64 " armed=%d\n",
           count.connections, open_connections, frozen, count.failed, count.bytes[UP], count.bytes[DOWN], count.commits, count.cuts,
           count.swallowed, mode.swallow + (mode.cut_after[UP] >= 0) + (mode.cut_after[DOWN] >= 0));
}

/* NULL, or what is wrong with the command; "" = answered already. */
static const char *obey(const char *verb, const char *first, const char *second)
{
    int64_t number = 0;
    bool direction[DIRECTIONS];
    if (strcmp(verb, "pass") == 0)
        return pass(), NULL;
    if (strcmp(verb, "cut") == 0) {
        bool frozen = first && strcmp(first, "frozen") == 0;
        return cut_all(frozen, frozen || !first), NULL;
    }
    if (strcmp(verb, "half-open") == 0 || strcmp(verb, "thaw") == 0)
        return freeze_all(verb[0] == 'h'), NULL;
    if (strcmp(verb, "swallow-commit") == 0)
        return mode.swallow = true, NULL;
    if (strcmp(verb, "status") == 0)
        return show_status(), "";
    if (strcmp(verb, "refuse") == 0) {
        bind_port(false);
        mode.refuse = true;
        return NULL;
    }
    if (strcmp(verb, "target") == 0 && first && strlen(first) < sizeof mode.target)
        return snprintf(mode.target, sizeof mode.target, "%s", first), NULL;
    if (strcmp(verb, "delay") != 0 && strcmp(verb, "slow") != 0 && strcmp(verb, "cut-after") != 0)
        return "no such command";
    if (!take_number(first, &number) || !take_direction(second, direction))
        return "wanted: a number and up or down";
    for (int d = 0; d < DIRECTIONS; d++) {
        if (!direction[d])
            continue;
        if (verb[0] == 'd')
            mode.delay_us[d] = number * 1000;
        else if (verb[0] == 's')
            mode.rate[d] = number;
        else
            mode.cut_after[d] = number > 0 ? number : 1;
    }
    return NULL;
}

static void obey_line(char *line)
{
    char *rest = NULL, *verb = strtok_r(line, " \t", &rest), *first = strtok_r(NULL, " \t", &rest);
    const char *wrong = verb ? obey(verb, first, strtok_r(NULL, " \t", &rest)) : "no command";
    if (!wrong)
        puts("ok");
    else if (wrong[0])
        printf("error %s\n", wrong);
    fflush(stdout);
}

/* False at the end of standard input. */
static bool read_commands(void)
{
    static char text[4096];
    static size_t have;
    ssize_t got = read(STDIN_FILENO, text + have, sizeof text - 1 - have);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    have += (size_t)got;
    text[have] = '\0';
    char *line = text;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        obey_line(line);
    }
    have -= (size_t)(line - text);
    memmove(text, line, have);
    return have < sizeof text - 1;
}

/* ---- the loop ---- */

/* When the first byte that waits for its time may go; -1: none does. */
static int patience_ms(void)
{
    enum { RATE_STEP_MS = 5 };
    int64_t soonest = INT64_MAX, now = now_us();
    for (struct connection *c = connections; c; c = c->next)
        for (int d = 0; d < DIRECTIONS && !c->frozen; d++) {
            const struct chunk *first = c->flow[d].first;
            if (first && mode.rate[d])
                soonest = soonest < now + RATE_STEP_MS * 1000 ? soonest : now + RATE_STEP_MS * 1000;
            else if (first && first->due_us > now && first->due_us < soonest)
                soonest = first->due_us;
        }
    return soonest == INT64_MAX ? -1 : (int)((soonest - now + 999) / 1000);
}

static short wanted_events(const struct connection *c, int side, int64_t now)
{
    const struct flow *in = &c->flow[side], *out = &c->flow[!side];
    bool due = out->first && out->first->due_us <= now && !mode.rate[!side];
    bool reads = !in->ended && in->queued < QUEUE_BYTES && !(side == DOWN && c->doomed);
    return (short)((reads ? POLLIN : 0) | (due ? POLLOUT : 0));
}

static void loop(void)
{
    static struct pollfd fd[2 + 2 * MOST_CONNECTIONS];
    static struct connection *of[2 + 2 * MOST_CONNECTIONS];
    for (;;) {
        nfds_t n = 0;
        int64_t now = now_us();
        fd[n++] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
        fd[n++] = (struct pollfd){mode.refuse ? -1 : listener, POLLIN, 0};
        for (struct connection *c = connections; c; c = c->next)
            for (int side = 0; side < DIRECTIONS; side++) {
                short events = wanted_events(c, side, now);
                of[n] = c;
                fd[n++] = (struct pollfd){c->frozen || !events ? -1 : c->fd[side], events, 0};
            }
        if (poll(fd, n, patience_ms()) < 0 && errno != EINTR)
            die("poll");
        for (nfds_t i = 2; i < n; i++) {
            int side = (int)(i % 2);
            if (of[i]->fd[side] >= 0 && (fd[i].revents & (POLLIN | POLLHUP | POLLERR)))
                receive(of[i], side);
        }
        for (struct connection *c = connections; c; c = c->next)
            for (int d = 0; d < DIRECTIONS && !c->frozen && c->fd[d] >= 0; d++)
                forward(c, d);
        if (fd[1].revents)
            accept_one();
        if (fd[0].revents && !read_commands())
            return;
        bury();
    }
}

int main(int argc, char *argv[])
{
    if (argc != 3 || strlen(argv[2]) >= sizeof mode.target) {
        fputs("fault_proxy PORT HOST:PORT|SOCKET-PATH\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    port = atoi(argv[1]);
    snprintf(mode.target, sizeof mode.target, "%s", argv[2]);
    bind_port(true);
    printf("listening %d\n", port);
    fflush(stdout);
    loop();
    return 0;
}
