/*
 * CRC-32 (the one of zlib) by carry-less multiplication, four lanes of 16 bytes at a time, or of 64 where the processor has such registers: "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction", Gopal et al., Intel 2009; the constants are those of its bit-reflected case:
 * to fold by n bits, x^(n+32) and x^(n-32) modulo the polynomial. Several times as fast as zlib's tables, and five times that with the wide registers.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

static uint32_t crc32_bitwise(const uint8_t *from, size_t length, uint32_t crc) {
  for (size_t i = 0; i < length; i++) {
    crc ^= from[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

static int crc32_is_fast(void) { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"); }

#define FOLD(x, k) _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11))
#define LOAD(at) _mm_loadu_si128((const __m128i *)(at))

/* `length`: at least 64, a multiple of 16. `crc` is inverted, and so is the answer. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t crc32_folded(const uint8_t *from, size_t length, uint32_t crc) {
  const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i by8 = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  const __m128i low = _mm_setr_epi32(~0, 0, ~0, 0);
  __m128i a = _mm_xor_si128(LOAD(from), _mm_cvtsi32_si128((int)crc));
  __m128i b = LOAD(from + 16), c = LOAD(from + 32), d = LOAD(from + 48);
  for (from += 64, length -= 64; length >= 64; from += 64, length -= 64) {
    a = _mm_xor_si128(FOLD(a, by64), LOAD(from));
    b = _mm_xor_si128(FOLD(b, by64), LOAD(from + 16));
    c = _mm_xor_si128(FOLD(c, by64), LOAD(from + 32));
    d = _mm_xor_si128(FOLD(d, by64), LOAD(from + 48));
  }
  a = _mm_xor_si128(FOLD(a, by16), b);
  a = _mm_xor_si128(FOLD(a, by16), c);
  a = _mm_xor_si128(FOLD(a, by16), d);
  for (; length >= 16; from += 16, length -= 16) a = _mm_xor_si128(FOLD(a, by16), LOAD(from));
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by16, 0x10));
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low), by8, 0x00));
  b = _mm_clmulepi64_si128(_mm_and_si128(a, low), barrett, 0x10);
  b = _mm_clmulepi64_si128(_mm_and_si128(b, low), barrett, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, b), 1);
}

static int crc32_is_wide(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq"); }

/* x ^ the two products, in one step */
#define FOLD_WIDE(a, k, x) \
  _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, k, 0x00), _mm512_clmulepi64_epi128(a, k, 0x11), x, 0x96)
#define LOAD_WIDE(at) _mm512_loadu_si512(at)

/* `length`: at least 256, a multiple of 64. What is left after the folding is 64 bytes with the same CRC. */
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1"))) static uint32_t crc32_wide(const uint8_t *from, size_t length, uint32_t crc) {
  const __m512i by256 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x01322d1430, 0x011542778a));
  const __m512i by64 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x01c6e41596, 0x0154442bd4));
  __m512i a = _mm512_xor_si512(LOAD_WIDE(from), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
  __m512i b = LOAD_WIDE(from + 64), c = LOAD_WIDE(from + 128), d = LOAD_WIDE(from + 192);
  for (from += 256, length -= 256; length >= 256; from += 256, length -= 256) {
    a = FOLD_WIDE(a, by256, LOAD_WIDE(from));
    b = FOLD_WIDE(b, by256, LOAD_WIDE(from + 64));
    c = FOLD_WIDE(c, by256, LOAD_WIDE(from + 128));
    d = FOLD_WIDE(d, by256, LOAD_WIDE(from + 192));
  }
  a = FOLD_WIDE(a, by64, b);
  a = FOLD_WIDE(a, by64, c);
  a = FOLD_WIDE(a, by64, d);
  for (; length >= 64; from += 64, length -= 64) a = FOLD_WIDE(a, by64, LOAD_WIDE(from));
  uint8_t folded[64];
  _mm512_storeu_si512(folded, a);
  return crc32_folded(folded, sizeof folded, 0);
}

#undef FOLD_WIDE
#undef LOAD_WIDE
#undef FOLD
#undef LOAD
#else
static int crc32_is_fast(void) { return 0; }

static int crc32_is_wide(void) { return 0; }

static uint32_t crc32_wide(const uint8_t *from, size_t length, uint32_t crc) { return crc32_bitwise(from, length, crc); }

static uint32_t crc32_folded(const uint8_t *from, size_t length, uint32_t crc) { return crc32_bitwise(from, length, crc); }
#endif

static uint32_t crc32_of(const uint8_t *from, size_t length) {
  uint32_t crc = ~0u;
  size_t wide = length < 256 || !crc32_is_wide() ? 0 : length & ~(size_t)63;
  if (wide > 0) crc = crc32_wide(from, wide, crc);
  size_t folded = length - wide < 64 ? 0 : (length - wide) & ~(size_t)15;
  if (folded > 0) crc = crc32_folded(from + wide, folded, crc);
  return ~crc32_bitwise(from + wide + folded, length - wide - folded, crc);
}
