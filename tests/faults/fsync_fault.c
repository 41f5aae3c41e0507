/* Preloaded into a node: fsync and fdatasync fail while the file that FAULT_FSYNC_TRIGGER names exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(void)
{
    const char *trigger = getenv("FAULT_FSYNC_TRIGGER");
    int before = errno;
    int present = trigger != NULL && access(trigger, F_OK) == 0;
    errno = present ? EIO : before;
    return present;
}

int fsync(int descriptor)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, descriptor);
}
