/*
 * What the FUSE session cannot get from Node itself: readiness of a descriptor in the calling thread's event loop, reads and
 * writes that answer -errno instead of throwing, a thread for notifications, a descriptor of another process, a file as memory,
 * memory as a file, a way to give malloc's free memory back, CRCs at the speed of memory, and the time by the kernel's own file clock.
 * Every function is `(…) -> integer`, negative: -errno. No state is shared between threads, so workers may load it too.
 */
#define _GNU_SOURCE
#include "crc32.h"
#include "node-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { MAX_SLICES = 512, MAX_NOTIFICATION = 512, NOTIFIER_STACK = 256 * 1024 };

#define ARGUMENTS(n)        \
  napi_value argument[n];   \
  size_t count = n;         \
  napi_get_cb_info(env, info, &count, argument, NULL, NULL)

static napi_value integer(napi_env env, ssize_t value) {
  napi_value result;
  napi_create_int32(env, (int32_t)value, &result);
  return result;
}

static int32_t number(napi_env env, napi_value value) {
  int32_t result = -1;
  napi_get_value_int32(env, value, &result);
  return result;
}

/* Only for Uint8Array and Buffer, where elements are bytes. */
static struct iovec bytes(napi_env env, napi_value value) {
  struct iovec slice = {NULL, 0};
  int type;
  napi_value buffer;
  size_t offset;
  napi_get_typedarray_info(env, value, &type, &slice.iov_len, &slice.iov_base, &buffer, &offset);
  return slice;
}

/* receive(fd, buffer): the length of the message read */
static napi_value receive(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  struct iovec into = bytes(env, argument[1]);
  ssize_t length = read(number(env, argument[0]), into.iov_base, into.iov_len);
  return integer(env, length < 0 ? -errno : length);
}

/* send(fd, buffer, length) */
static napi_value send_one(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  struct iovec from = bytes(env, argument[1]);
  size_t length = (size_t)number(env, argument[2]);
  ssize_t sent = write(number(env, argument[0]), from.iov_base, length < from.iov_len ? length : from.iov_len);
  return integer(env, sent < 0 ? -errno : sent);
}

/* sendSlices(fd, header, headerLength, slices): one message made of all of them; -E2BIG over MAX_SLICES */
static napi_value send_slices(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  struct iovec slice[MAX_SLICES + 1];
  slice[0] = bytes(env, argument[1]);
  slice[0].iov_len = (size_t)number(env, argument[2]);
  uint32_t slices = 0;
  napi_get_array_length(env, argument[3], &slices);
  if (slices > MAX_SLICES) return integer(env, -E2BIG);
  for (uint32_t i = 0; i < slices; i++) {
    napi_value element;
    napi_get_element(env, argument[3], i, &element);
    slice[i + 1] = bytes(env, element);
  }
  ssize_t sent = writev(number(env, argument[0]), slice, (int)slices + 1);
  return integer(env, sent < 0 ? -errno : sent);
}

typedef struct {
  uv_poll_t *poll;
  napi_env env;
  napi_ref callback;
  napi_async_cleanup_hook_handle hook;
} Watch;

static void on_closed(uv_poll_t *poll) {
  Watch *watch = uv_handle_get_data(poll);
  napi_remove_async_cleanup_hook(watch->hook);
  free(poll);
  free(watch);
}

static void close_watch(Watch *watch) {
  if (watch->callback == NULL) return;
  napi_delete_reference(watch->env, watch->callback);
  watch->callback = NULL;
  uv_close(watch->poll, on_closed);
}

/* A worker may end while we watch: without this hook its loop would still hold the handle, and Node aborts. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  close_watch(data);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  (void)events;
  Watch *watch = uv_handle_get_data(poll);
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value callback, global, argument, result;
  napi_get_reference_value(env, watch->callback, &callback);
  napi_get_global(env, &global);
  napi_create_int32(env, status, &argument);
  if (napi_make_callback(env, NULL, global, callback, 1, &argument, &result) != 0 &&
      napi_get_and_clear_last_exception(env, &result) == 0)
    napi_fatal_exception(env, result);
  napi_close_handle_scope(env, scope);
}

/* watch(fd, callback): calls back whenever fd is readable or broken; answers a token for unwatch, or -errno */
static napi_value watch_fd(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Watch *watch = calloc(1, sizeof *watch);
  watch->env = env;
  watch->poll = calloc(1, uv_handle_size(UV_POLL_HANDLE_TYPE));
  struct uv_loop_s *loop;
  napi_get_uv_event_loop(env, &loop);
  int status = uv_poll_init(loop, watch->poll, number(env, argument[0]));
  if (status != 0) {
    free(watch->poll);
    free(watch);
    return integer(env, status);
  }
  uv_handle_set_data(watch->poll, watch);
  napi_create_reference(env, argument[1], 1, &watch->callback);
  napi_add_async_cleanup_hook(env, on_environment_end, watch, &watch->hook);
  uv_poll_start(watch->poll, UV_READABLE, on_ready);
  napi_value token;
  napi_create_external(env, watch, NULL, NULL, &token);
  return token;
}

/* unwatch(token): once only; the caller sees to that */
static napi_value unwatch(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  void *watch = NULL;
  napi_get_value_external(env, argument[0], &watch);
  if (watch != NULL) close_watch(watch);
  return integer(env, 0);
}

typedef struct {
  int device;
  int channel;
  /* The thread has a table of descriptors of its own, with those two alone. */
  int apart;
  sem_t *started;
} Notifier;

static void close_span(unsigned int from, unsigned int to) {
  if (syscall(SYS_close_range, from, to, 0) == 0) return;
  long limit = sysconf(_SC_OPEN_MAX);
  for (unsigned int fd = from; fd <= to && (long)fd < limit; fd++) close((int)fd);
}

/* Closes all descriptors of this thread's own table but two. */
static void close_others(int one, int other) {
  unsigned int low = (unsigned int)(one < other ? one : other), high = (unsigned int)(one < other ? other : one);
  if (low > 0) close_span(0, low - 1);
  if (high - low > 1) close_span(low + 1, high - 1);
  close_span(high + 1, ~0U);
}

static void *notify(void *data) {
  Notifier *notifier = data;
  char message[MAX_NOTIFICATION];
  /*
   * The kernel may keep this thread until the process answers, and a process that is killed then is not gone before the next one has answered: that one must be able to start. So nothing
   * of what the process has open stays open for this thread.
   */
  notifier->apart = unshare(CLONE_FILES) == 0;
  if (notifier->apart) close_others(notifier->device, notifier->channel);
  sem_post(notifier->started);
  for (;;) {
    ssize_t length = recv(notifier->channel, message, sizeof message, 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    int32_t outcome = write(notifier->device, message, (size_t)length) < 0 ? -errno : 0;
    if (send(notifier->channel, &outcome, sizeof outcome, MSG_NOSIGNAL) < 0) break;
  }
  close(notifier->device);
  close(notifier->channel);
  free(notifier);
  return NULL;
}

/*
 * notifier(fd): a thread that writes notifications to the device, and the descriptor of a packet socket to it: one message in,
 * one int32 outcome back. A notification may wait for the kernel, which may wait for an answer of ours: neither the event loop
 * nor libuv's small shared thread pool may be the one that waits. The thread ends when the socket is closed.
 */
static napi_value notifier(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return integer(env, -errno);
  Notifier *started = malloc(sizeof *started);
  /* A descriptor of its own: the caller's number may be closed and used again while the thread waits. */
  sem_t ready;
  sem_init(&ready, 0, 0);
  *started = (Notifier){.device = fcntl(number(env, argument[0]), F_DUPFD_CLOEXEC, 3), .channel = pair[1], .started = &ready};
  int device = started->device;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, NOTIFIER_STACK);
  pthread_t thread;
  int failure = started->device < 0 ? errno : pthread_create(&thread, &attributes, notify, started);
  pthread_attr_destroy(&attributes);
  if (failure == 0) {
    while (sem_wait(&ready) != 0) continue;
    sem_destroy(&ready);
    /* It does not end before this end of the socket is closed. */
    if (started->apart) {
      close(device);
      close(pair[1]);
    }
    return integer(env, pair[0]);
  }
  sem_destroy(&ready);
  if (started->device >= 0) close(started->device);
  close(pair[0]);
  close(pair[1]);
  free(started);
  return integer(env, -failure);
}

/* closeDescriptor(fd): for descriptors that Node does not know */
static napi_value close_descriptor(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  return integer(env, close(number(env, argument[0])) < 0 ? -errno : 0);
}

/* takeDescriptor(pid, fd): a duplicate in this process of that process's descriptor (Linux 5.6; needs ptrace rights) */
static napi_value take_descriptor(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int process = (int)syscall(SYS_pidfd_open, number(env, argument[0]), 0);
  if (process < 0) return integer(env, -errno);
  int taken = (int)syscall(SYS_pidfd_getfd, process, number(env, argument[1]), 0);
  napi_value result = integer(env, taken < 0 ? -errno : taken);
  close(process);
  return result;
}

static void unmap(napi_env env, void *memory, void *length) {
  (void)env;
  munmap(memory, (size_t)length);
}

/*
 * mapFile(fd, length): the start of the file as an ArrayBuffer, or -errno. What is written there is in the file at once, whatever becomes of
 * this process. Where the file has no room it is a fault that ends the process: the caller writes each page the ordinary way first.
 */
static napi_value map_file(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  size_t length = (size_t)number(env, argument[1]);
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, number(env, argument[0]), 0);
  if (memory == MAP_FAILED) return integer(env, -errno);
  napi_value result;
  if (napi_create_external_arraybuffer(env, memory, length, unmap, (void *)length, &result) == 0) return result;
  munmap(memory, length);
  return integer(env, -ENOTSUP);
}

/* memoryFile(length): the descriptor of so much memory, of which nothing is taken yet, or -errno. It lives as long as any process has it open or mapped (Linux 3.17). */
static napi_value memory_file(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd = (int)syscall(SYS_memfd_create, "infinit", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, (off_t)number(env, argument[0])) != 0) {
    int failure = errno;
    close(fd);
    return integer(env, -failure);
  }
  return integer(env, fd < 0 ? -errno : fd);
}

/* takeRoom(fd, from, length): the pages of that part of a file are there afterwards, with what they had in them; or -errno */
static napi_value take_room(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  return integer(env, fallocate(number(env, argument[0]), 0, (off_t)number(env, argument[1]), (off_t)number(env, argument[2])) < 0 ? -errno : 0);
}

/* giveRoom(fd, from, length): that part of a file keeps no pages, and reads as zeros; or -errno */
static napi_value give_room(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return integer(env, fallocate(number(env, argument[0]), mode, (off_t)number(env, argument[1]), (off_t)number(env, argument[2])) < 0 ? -errno : 0);
}

/* hugePages(bytes): the kernel is to give that memory pages of 2 MiB, where it touches none of it yet; or -errno */
static napi_value huge_pages(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  struct iovec memory = bytes(env, argument[0]);
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)memory.iov_base + page - 1) / page * page;
  uintptr_t to = ((uintptr_t)memory.iov_base + memory.iov_len) / page * page;
  if (to <= from) return integer(env, -EINVAL);
  return integer(env, madvise((void *)from, to - from, MADV_HUGEPAGE) < 0 ? -errno : 0);
}

/*
 * trim(): gives the kernel the pages of malloc that hold nothing, those between others too. Of its own accord glibc gives back only the
 * end of a heap, which after a burst of small buffers is hardly ever free. 1: something was given back.
 */
static napi_value trim(napi_env env, napi_callback_info info) {
  (void)info;
#ifdef __GLIBC__
  return integer(env, malloc_trim(0));
#else
  return integer(env, 0);
#endif
}

/* crcPieces(bytes, pieceBytes, into): the CRC-32 of each piece, little-endian, one after the other; -ENOTSUP where the processor has no way of its own */
static napi_value crc_pieces(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  struct iovec from = bytes(env, argument[0]);
  struct iovec into = bytes(env, argument[2]);
  size_t piece = (size_t)number(env, argument[1]);
  if (!crc32_is_fast()) return integer(env, -ENOTSUP);
  if (piece == 0 || into.iov_len < (from.iov_len + piece - 1) / piece * sizeof(uint32_t)) return integer(env, -EINVAL);
  uint8_t *out = into.iov_base;
  for (size_t at = 0; at < from.iov_len; at += piece) {
    size_t length = from.iov_len - at < piece ? from.iov_len - at : piece;
    uint32_t crc = crc32_of((const uint8_t *)from.iov_base + at, length);
    for (int i = 0; i < 4; i++) *out++ = (uint8_t)(crc >> (8 * i));
  }
  return integer(env, 0);
}

/* fileTime(into): the time that the kernel itself would give a file now (it moves with each tick), as two doubles: seconds and nanoseconds */
static napi_value file_time(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  struct iovec into = bytes(env, argument[0]);
  struct timespec now;
  if (into.iov_len < 2 * sizeof(double)) return integer(env, -EINVAL);
  if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) return integer(env, -errno);
  double parts[2] = {(double)now.tv_sec, (double)now.tv_nsec};
  memcpy(into.iov_base, parts, sizeof parts);
  return integer(env, 0);
}

static const struct {
  const char *name;
  napi_callback function;
} exported[] = {{"receive", receive},   {"send", send_one},      {"sendSlices", send_slices},           {"watch", watch_fd},
                {"unwatch", unwatch},   {"notifier", notifier},  {"closeDescriptor", close_descriptor}, {"takeDescriptor", take_descriptor},
                {"mapFile", map_file},  {"memoryFile", memory_file}, {"takeRoom", take_room},                 {"crcPieces", crc_pieces},
                {"giveRoom", give_room}, {"fileTime", file_time}, {"hugePages", huge_pages},              {"trim", trim}};

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 9; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  for (size_t i = 0; i < sizeof exported / sizeof *exported; i++) {
    napi_value function;
    napi_create_function(env, exported[i].name, SIZE_MAX, exported[i].function, NULL, &function);
    napi_set_named_property(env, exports, exported[i].name, function);
  }
  return exports;
}
