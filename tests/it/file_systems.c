/* File systems that lack a call: each answers the error number of its variable, if that is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int refuses(const char *variable)
{
    const char *number = getenv(variable);
    if (number == NULL)
        return 0;
    errno = atoi(number);
    return 1;
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return refuses("SHIM_LINK") ? -1 : real(from, old, to, new, flags);
}

int flock(int file, int operation)
{
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return refuses("SHIM_FLOCK") ? -1 : real(file, operation);
}

int fsync(int file)
{
    struct stat found;
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (fstat(file, &found) == 0 && S_ISDIR(found.st_mode) && refuses("SHIM_FSYNC"))
        return -1;
    return real(file);
}
