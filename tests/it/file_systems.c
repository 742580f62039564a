/* File systems that lack a call: each answers the error number of its variable, if that is set.
 * With SHIM_IN, only files and folders below that path lack fsync and flock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuses(const char *variable)
{
    const char *number = getenv(variable);
    if (number == NULL)
        return 0;
    errno = atoi(number);
    return 1;
}

static int is_meant(int file)
{
    const char *folder = getenv("SHIM_IN");
    char link[64], path[PATH_MAX + 1] = "";
    if (folder == NULL)
        return 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    return readlink(link, path, PATH_MAX) > 0 && strncmp(path, folder, strlen(folder)) == 0;
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return refuses("SHIM_LINK") ? -1 : real(from, old, to, new, flags);
}

int flock(int file, int operation)
{
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return is_meant(file) && refuses("SHIM_FLOCK") ? -1 : real(file, operation);
}

int fsync(int file)
{
    struct stat found;
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (fstat(file, &found) == 0 && S_ISDIR(found.st_mode) && is_meant(file) && refuses("SHIM_FSYNC"))
        return -1;
    return real(file);
}
