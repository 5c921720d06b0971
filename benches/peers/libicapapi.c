/* libicapapi (of c-icap) as a contender: PROGRAM PORT FOLDER file SIZE 1. src/contender.rs says how it talks with
 * the runner.
 *
 * It is used as c-icap-client uses it, but with one connection for all scans. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <c_icap/c-icap.h>
#include <c_icap/net_io.h>
#include <c_icap/request.h>
#include <c_icap/simple_api.h>

#define TIMEOUT 300

static void fail(const char *what)
{
    fprintf(stderr, "libicapapi: %s\n", what);
    exit(1);
}

static int read_file(void *file, char *buffer, int len)
{
    int got = read(*(int *)file, buffer, len);
    return got == 0 ? CI_EOF : got;
}

static int write_nothing(void *unused, char *buffer, int len)
{
    (void)unused;
    (void)buffer;
    return len;
}

static void scan(ci_connection_t *connection, ci_request_t *request, const char *path, const char *size)
{
    char length[64];
    ci_headers_list_t *head = ci_headers_create();
    int file = open(path, O_RDONLY);

    if (file < 0)
        fail("cannot open the file");
    snprintf(length, sizeof(length), "Content-Length: %s", size);
    ci_headers_add(head, "HTTP/1.1 200 OK");
    ci_headers_add(head, length);
    request->type = ICAP_RESPMOD;
    request->allow204 = 1;
    request->preview = -1;
    if (ci_client_icapfilter(request, TIMEOUT, NULL, head, &file, read_file, NULL, write_nothing) <= 0)
        fail("the scan has failed");
    if (request->return_code != 204)
        fail("the status is not 204");
    close(file);
    ci_headers_destroy(head);
    ci_client_request_reuse(request);
}

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int main(int argc, char **argv)
{
    char path[4096], line[64];
    ci_connection_t *connection;
    ci_request_t *request;

    if (argc != 6)
        fail("PORT FOLDER file SIZE 1");
    snprintf(path, sizeof(path), "%s/%s.bin", argv[2], argv[4]);
    ci_client_library_init();
    connection = ci_connect_to("127.0.0.1", atoi(argv[1]), AF_INET, TIMEOUT);
    if (connection == NULL)
        fail("cannot connect");
    request = ci_client_request(connection, "127.0.0.1", "204");
    if (request == NULL)
        fail("no request");
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        for (int left = atoi(line); left > 0; left--)
            scan(connection, request, path, argv[4]);
        cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        wall = nanoseconds(CLOCK_MONOTONIC) - wall;
        printf("%lld %lld\n", (long long)wall, (long long)cpu);
        fflush(stdout);
    }
    return 0;
}
