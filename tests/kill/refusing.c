/* Preloaded into a command: a system that writes by halves, whose disk or whose threads run out.
 *
 * SHORT_WRITES=1    a write to a file of the store takes seven bytes at most
 * FAIL_WRITE=N      the Nth write to one, and all that follow, is an I/O error
 * FAIL_THREAD=N     the Nth thread, and all that follow, cannot be started
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int number(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

static int of_the_store(int handle) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/store/") != NULL && strstr(path, "/locks/") == NULL;
}

static int writes, threads;

static int refused(int handle, size_t *count) {
    if (!of_the_store(handle)) return 0;
    if (number("SHORT_WRITES") && *count > 7) *count = 7;
    if (number("FAIL_WRITE") && __sync_add_and_fetch(&writes, 1) >= number("FAIL_WRITE")) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t write(int handle, const void *data, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    return refused(handle, &count) ? -1 : real(handle, data, count);
}

static ssize_t pwrite_as(const char *name, int handle, const void *data, size_t count, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    return refused(handle, &count) ? -1 : real(handle, data, count, at);
}

ssize_t pwrite(int handle, const void *data, size_t count, off_t at) {
    return pwrite_as("pwrite", handle, data, count, at);
}

ssize_t pwrite64(int handle, const void *data, size_t count, off64_t at) {
    return pwrite_as("pwrite64", handle, data, count, at);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*work)(void *), void *of) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_create");
    if (number("FAIL_THREAD") && __sync_add_and_fetch(&threads, 1) >= number("FAIL_THREAD"))
        return EAGAIN;
    return real(thread, how, work, of);
}
