// Between the bridge and its disk: fails writes and syncs of the store's files while a file in $FAULTS says so.
// `write` in that folder holds the errno that writes fail with, `sync` that of syncs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int demanded(const char *name) {
    const char *folder = getenv("FAULTS");
    char path[4096], text[16] = {0};
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int number = fgets(text, sizeof text, file) ? atoi(text) : 0;
    fclose(file);
    return number;
}

static int is_store(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, ".db") != NULL;
}

static int fails(int fd, const char *name) {
    int saved = errno, number = is_store(fd) ? demanded(name) : 0;
    errno = number ? number : saved;
    return number;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fails(fd, "write")) {
        // As a full disk does: half of it may still have been written.
        int number = errno;
        if (count > 1) (void)REAL(write, ssize_t(*)(int, const void *, size_t))(fd, bytes, count / 2);
        errno = number;
        return -1;
    }
    return REAL(write, ssize_t(*)(int, const void *, size_t))(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (fails(fd, "write")) return -1;
    return REAL(pwrite64, ssize_t(*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}

int ftruncate64(int fd, off64_t length) {
    if (fails(fd, "write")) return -1;
    return REAL(ftruncate64, int(*)(int, off64_t))(fd, length);
}

int fsync(int fd) {
    if (fails(fd, "sync")) return -1;
    return REAL(fsync, int(*)(int))(fd);
}

int fdatasync(int fd) {
    if (fails(fd, "sync")) return -1;
    return REAL(fdatasync, int(*)(int))(fd);
}
