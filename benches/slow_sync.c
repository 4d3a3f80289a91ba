/* Adds SLOW_SYNC_MICROS to every fsync and fdatasync, as a slower disk would, and counts them in SLOW_SYNC_COUNTER. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t *counter;
static long micros;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SLOW_SYNC_COUNTER");
    const char *wanted = getenv("SLOW_SYNC_MICROS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        counter = mapped == MAP_FAILED ? NULL : mapped;
        close(file);
    }
    micros = wanted ? atol(wanted) : 0;
}

static int slowly(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct timespec rest = {micros / 1000000, micros % 1000000 * 1000};
    if (counter)
        __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
    if (micros > 0)
        nanosleep(&rest, NULL);
    return real(file);
}

int fsync(int file) { return slowly("fsync", file); }

int fdatasync(int file) { return slowly("fdatasync", file); }
