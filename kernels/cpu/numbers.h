// half and bfloat16 in software: stored in 16 bits, computed with as float, rounded to nearest even.
#pragma once
#include <cstdint>
#include <cstring>

namespace mg {
inline uint32_t bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
inline float from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

inline uint16_t to_half(float f) {
  uint32_t u = bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
  if (a > 0x7f800000) return sign | 0x7e00;   // NaN
  if (a >= 0x477ff000) return sign | 0x7c00;  // 65520 and more: infinity
  if (a < 0x38800000)                         // below 2^-14: in steps of 2^-24
    return sign | (bits(from_bits(a) + 0.5f) - bits(0.5f));
  a += 0xfff + (a >> 13 & 1);  // to nearest, a tie to even
  return sign | uint16_t((a - 0x38000000) >> 13);
}

inline float from_half(uint16_t b) {
  uint32_t sign = (b & 0x8000u) << 16, exponent = b >> 10 & 31, m = b & 1023;
  if (!exponent) return (sign ? -1.f : 1.f) * (m * 0x1p-24f);
  return from_bits(sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | m << 13);
}

inline uint16_t to_bfloat16(float f) {
  uint32_t u = bits(f);
  if ((u & 0x7fffffff) > 0x7f800000) return u >> 16 | 0x40;  // NaN
  return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

inline float from_bfloat16(uint16_t b) { return from_bits(uint32_t(b) << 16); }
}  // namespace mg

struct __half {
  uint16_t b;
  __half() = default;
  __half(float f) : b(mg::to_half(f)) {}
  operator float() const { return mg::from_half(b); }
};
struct __nv_bfloat16 {
  uint16_t b;
  __nv_bfloat16() = default;
  __nv_bfloat16(float f) : b(mg::to_bfloat16(f)) {}
  operator float() const { return mg::from_bfloat16(b); }
};
struct alignas(4) __half2 { __half x, y; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
typedef __half half;
typedef __half2 half2;

inline float __half2float(half h) { return h; }
inline half __float2half(float f) { return f; }
inline half2 __floats2half2_rn(float x, float y) { return {half(x), half(y)}; }
inline float __bfloat162float(__nv_bfloat16 h) { return h; }
inline __nv_bfloat16 __float2bfloat16(float f) { return f; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
