/* Preloaded into a daemon: what changes files fails with the error, and on the files, that a mapped file names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A file is meant where its path has this part; calls that failed so far are counted. */
struct fault {
  int32_t error;
  int32_t failed;
  char part[248];
};

static struct fault *fault;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAILING_DISK");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof(struct fault), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) fault = mapped;
}

static int meets(const char *path) {
  if (fault == NULL || fault->error == 0 || strstr(path, fault->part) == NULL) return 0;
  __atomic_add_fetch(&fault->failed, 1, __ATOMIC_RELAXED);
  errno = fault->error;
  return 1;
}

static int meets_file(int file) {
  if (fault == NULL || fault->error == 0) return 0;
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return meets(path);
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

#define ON_FILE(type, name, parameters, ...) \
  type name parameters { return meets_file(file) ? -1 : REAL(name)(__VA_ARGS__); }

ON_FILE(ssize_t, write, (int file, const void *bytes, size_t count), file, bytes, count)
ON_FILE(ssize_t, pwrite, (int file, const void *bytes, size_t count, off_t at), file, bytes, count, at)
ON_FILE(ssize_t, pwrite64, (int file, const void *bytes, size_t count, off64_t at), file, bytes, count, at)
ON_FILE(ssize_t, writev, (int file, const struct iovec *parts, int count), file, parts, count)
ON_FILE(ssize_t, pwritev, (int file, const struct iovec *parts, int count, off_t at), file, parts, count, at)
ON_FILE(ssize_t, pwritev64, (int file, const struct iovec *parts, int count, off64_t at), file, parts, count, at)

/* LevelDB writes by these. */
#undef fwrite_unlocked
#undef fflush_unlocked
size_t fwrite_unlocked(const void *bytes, size_t size, size_t count, FILE *file) {
  return meets_file(fileno(file)) ? 0 : REAL(fwrite_unlocked)(bytes, size, count, file);
}
int fflush_unlocked(FILE *file) { return meets_file(fileno(file)) ? EOF : REAL(fflush_unlocked)(file); }

/* What takes no room does not fail for want of it. */
#define WITHOUT_ROOM(name, parameters, ...) \
  int name parameters { return fault != NULL && fault->error != ENOSPC && meets_file(file) ? -1 : REAL(name)(__VA_ARGS__); }

WITHOUT_ROOM(fsync, (int file), file)
WITHOUT_ROOM(fdatasync, (int file), file)
WITHOUT_ROOM(ftruncate, (int file, off_t size), file, size)
WITHOUT_ROOM(ftruncate64, (int file, off64_t size), file, size)

int rename(const char *from, const char *to) { return meets(to) ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return meets(path) ? -1 : REAL(mkdir)(path, mode); }

/* Only what would make a file. */
#define OPEN(name, parameters, ...)                        \
  int name parameters {                                    \
    mode_t mode = 0;                                       \
    if (flags & O_CREAT) {                                 \
      va_list rest;                                        \
      va_start(rest, flags);                               \
      mode = va_arg(rest, mode_t);                         \
      va_end(rest);                                        \
      if (access(path, F_OK) != 0 && meets(path)) return -1; \
    }                                                      \
    return REAL(name)(__VA_ARGS__, mode);                  \
  }

OPEN(open, (const char *path, int flags, ...), path, flags)
OPEN(open64, (const char *path, int flags, ...), path, flags)
OPEN(openat, (int directory, const char *path, int flags, ...), directory, path, flags)
OPEN(openat64, (int directory, const char *path, int flags, ...), directory, path, flags)
