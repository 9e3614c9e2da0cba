/* Preloaded into the proxy: the wall clock jumps by the seconds in a file, while it runs. Nothing
 * else of the machine notices, and CLOCK_MONOTONIC goes on as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *jump;

__attribute__((constructor)) static void find_jump(void) {
    const char *path = getenv("CLOCK_JUMP_FILE");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return;
    }
    void *there = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    jump = there == MAP_FAILED ? NULL : there;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int done = real(clock, at);
    if (done == 0 && clock == CLOCK_REALTIME && jump != NULL) {
        at->tv_sec += *jump;
    }
    return done;
}
