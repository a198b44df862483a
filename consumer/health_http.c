/* SPDX-License-Identifier: Apache-2.0 */
#include "health_http.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <netinet/in.h>
#include <unistd.h>

#include <microhttpd.h>

struct health_http {
    struct MHD_Daemon *daemon;
    struct health_board *board;
    unsigned port;
};

/* ---- address ---- */

struct place {
    char host[256], port[8];
};

static enum pk_status read_place(const char *address, struct place *ret, struct pk_err *err)
{
    const char *colon = strrchr(address, ':'), *host = address;
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (len > 1 && host[0] == '[' && host[len - 1] == ']')
        host++, len -= 2;
    else if (colon && memchr(address, ':', len))
        len = 0;
    char *end;
    long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : -1;
    if (len == 0 || len >= sizeof ret->host || port < 0 || port > 65535 || *end)
        return pk_fail(err, PK_REJECT, "--http: '%.100s' is no HOST:PORT, as 127.0.0.1:9464, 0.0.0.0:9464 or [::]:9464", address);
    snprintf(ret->host, sizeof ret->host, "%.*s", (int)len, host);
    snprintf(ret->port, sizeof ret->port, "%ld", port);
    return PK_OK;
}

enum pk_status health_http_check(const char *address, struct pk_err *err)
{
    struct place place;
    return read_place(address, &place, err);
}

static int listen_at(const struct addrinfo *at)
{
    int on = 1, fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 16) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static enum pk_status open_socket(const char *address, int *ret_fd, struct pk_err *err)
{
    struct place place;
    enum pk_status status = read_place(address, &place, err);
    if (status != PK_OK)
        return status;
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int code = getaddrinfo(place.host, place.port, &hints, &list);
    if (code != 0)
        return pk_fail(err, PK_REJECT, "--http %.100s: there is no such host: %s", address, gai_strerror(code));
    int fd = listen_at(list), why = errno;
    freeaddrinfo(list);
    if (fd < 0 && why == EADDRINUSE)
        return pk_fail(err, PK_STOP, "--http %.100s: another program listens there already; each consumer of a machine needs its own port",
                       address);
    if (fd < 0)
        return pk_fail(err, PK_STOP, "--http %.100s: cannot listen there: %s", address, strerror(why));
    *ret_fd = fd;
    return PK_OK;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port);
}

/* ---- requests ---- */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned code, const char *type, struct pk_buf *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(body->len, body->ptr, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result done = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return done;
}

/* The first call of a request has its head only; the answer is due in the one after its body, which nobody reads. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len, void **request)
{
    struct health_http *http = context;
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    const char *type = "text/plain; charset=utf-8";
    (void)version, (void)upload;
    if (!*request) {
        *request = http;
        return MHD_YES;
    }
    *upload_len = 0;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        pk_buf_text(&body, "GET only\n");
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, type, &body);
    }
    unsigned code = health_board_answer(http->board, url, &body, &type);
    return respond(connection, code, type, &body);
}

/* ---- opening and closing ---- */

/* Signals are for the thread that works: they wake it from its pauses. */
static struct MHD_Daemon *start_daemon(struct health_http *http, int fd)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, 16u, MHD_OPTION_PER_IP_CONNECTION_LIMIT, 8u, MHD_OPTION_CONNECTION_TIMEOUT, 10u,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(32 << 10), MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

enum pk_status health_http_open(const char *address, struct health_board *board, struct health_http **ret_http,
                                struct pk_err *err)
{
    int fd;
    enum pk_status status = open_socket(address, &fd, err);
    if (status != PK_OK)
        return status;
    struct health_http *http = pk_alloc(sizeof *http);
    http->board = board;
    http->port = port_of(fd);
    http->daemon = start_daemon(http, fd);
    if (!http->daemon) {
        close(fd);
        free(http);
        return pk_fail(err, PK_STOP, "--http %.100s: the machine has no thread for it", address);
    }
    *ret_http = http;
    return PK_OK;
}

unsigned health_http_port(const struct health_http *http)
{
    return http->port;
}

void health_http_close(struct health_http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    free(http);
}

/* ---- asking ---- */

enum { ASK_SECONDS = 5 };

/* Who listens everywhere is asked on the loopback. */
static const char *reachable(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

static int dial(const struct addrinfo *list)
{
    const struct timeval limit = {.tv_sec = ASK_SECONDS};
    for (; list; list = list->ai_next) {
        int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fd, list->ai_addr, list->ai_addrlen) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

/* Its answer up to the end, or as much as there is room for. */
static bool exchange(int fd, const char *path, char *answer, size_t size)
{
    char request[128];
    size_t have = 0;
    ssize_t got;
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        return false;
    while (have < size - 1 && (got = recv(fd, answer + have, size - 1 - have, 0)) > 0)
        have += (size_t)got;
    answer[have] = 0;
    return have > 0;
}

enum pk_status health_http_ask(const char *address, const char *path, char *ret_text, size_t text_size, struct pk_err *err)
{
    struct place place;
    enum pk_status status = read_place(address, &place, err);
    if (status != PK_OK)
        return status;
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    int code = getaddrinfo(reachable(place.host), place.port, &hints, &list);
    if (code != 0)
        return pk_fail(err, PK_REJECT, "--http %.100s: there is no such host: %s", address, gai_strerror(code));
    int fd = dial(list);
    freeaddrinfo(list);
    char answer[2048];
    bool answered = fd >= 0 && exchange(fd, path, answer, sizeof answer);
    if (fd >= 0)
        close(fd);
    const char *body = answered ? strstr(answer, "\r\n\r\n") : NULL;
    int result;
    if (!body || sscanf(answer, "HTTP/%*d.%*d %d", &result) != 1)
        return pk_fail(err, PK_LOST, "--http %.100s: no consumer answers there", address);
    snprintf(ret_text, text_size, "%s", body + 4);
    return result == 200 ? PK_OK : PK_RETRY;
}
