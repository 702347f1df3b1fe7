/*
 * call(number, argument…): a raw system call of the calling thread. Arguments are integers, BigInts or Uint8Arrays (passed by address);
 * the result is the kernel's, so -errno on failure. Raw setresuid and setgroups change this one thread only.
 */
#define _GNU_SOURCE
#include "node-abi.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

napi_status napi_is_typedarray(napi_env, napi_value, _Bool *);
napi_status napi_get_value_int64(napi_env, napi_value, int64_t *);
napi_status napi_get_value_bigint_int64(napi_env, napi_value, int64_t *, _Bool *lossless);
napi_status napi_create_int64(napi_env, int64_t, napi_value *);

static napi_value call(napi_env env, napi_callback_info info) {
  napi_value argument[7];
  size_t count = 7;
  napi_get_cb_info(env, info, &count, argument, NULL, NULL);
  int64_t value[7] = {0};
  for (size_t i = 0; i < count && i < 7; i++) {
    _Bool is_buffer = 0;
    napi_is_typedarray(env, argument[i], &is_buffer);
    if (is_buffer) {
      int type;
      size_t length, offset;
      void *data;
      napi_value buffer;
      napi_get_typedarray_info(env, argument[i], &type, &length, &data, &buffer, &offset);
      value[i] = (int64_t)(intptr_t)data;
    } else if (napi_get_value_int64(env, argument[i], &value[i]) != 0) {
      napi_get_value_bigint_int64(env, argument[i], &value[i], &is_buffer);
    }
  }
  long result = syscall(value[0], value[1], value[2], value[3], value[4], value[5], value[6]);
  napi_value answer;
  napi_create_int64(env, result == -1 ? -errno : result, &answer);
  return answer;
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 9; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "call", SIZE_MAX, call, NULL, &function);
  napi_set_named_property(env, exports, "call", function);
  return exports;
}
