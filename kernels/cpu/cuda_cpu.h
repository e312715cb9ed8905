// CUDA C++ for g++: the words, types and functions of the language that our kernels use, on one
// thread of the CPU. schedule.h runs the grid; include/mg_ptx.h has tensor cores and cp.async.
//
// Not here: order between blocks (they run one after the other), memory fences, bank conflicts,
// TMA, mbarrier, wgmma.
#pragma once
#include <cmath>
#include <cstdio>
#include <type_traits>
#include "schedule.h"
#include "numbers.h"

#define MG_CPU 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static
#define __shared__ static __attribute__((section("cushared")))
#define MG_DYNAMIC_SHARED(T, name) T* name = (T*)mg::dynamic

static const int warpSize = 32;
struct alignas(8) int2 { int x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// ------------------------------------------------------------------------------ blocks and warps
// A lane shows a value, all wait, each looks at another's, all wait again before the next one.

#define __syncthreads() mg::wait_for_block(__FILE__, __LINE__)
#define MG_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncwarp(unsigned mask = ~0u, MG_WHERE) { mg::wait_for_warp(mask, file, line); }

namespace mg {
template <class T>
QUIET inline T from_lane(unsigned mask, T value, unsigned source, const char* file, int line) {
  static_assert(sizeof(T) <= 8);
  Thread& t = threads[current];
  memcpy(&t.slot, &value, sizeof value);
  wait_for_warp(mask, file, line);
  unsigned other = current / 32 * 32 + source;
  if (!(mask >> source & 1)) stop("reads from a lane that its mask does not name", file, line);
  if (other >= count) stop("reads from a lane that the block does not have", file, line);
  memcpy(&value, &threads[other].slot, sizeof value);
  wait_for_warp(mask, file, line);
  return value;
}
}  // namespace mg

template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32, MG_WHERE) {
  unsigned first = mg::lane() & ~(width - 1);
  return mg::from_lane(mask, v, first | (source & (width - 1)), file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, MG_WHERE) {
  unsigned l = mg::lane(), inside = l & (width - 1);
  return mg::from_lane(mask, v, inside + by < unsigned(width) ? l + by : l, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, MG_WHERE) {
  unsigned l = mg::lane(), inside = l & (width - 1);
  return mg::from_lane(mask, v, inside >= by ? l - by : l, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, unsigned with, int width = 32, MG_WHERE) {
  unsigned l = mg::lane(), other = l ^ with;
  return mg::from_lane(mask, v, other / width == l / width ? other : l, file, line);
}
QUIET inline unsigned __ballot_sync(unsigned mask, int predicate, MG_WHERE) {
  unsigned result = 0, first = mg::current / 32 * 32;
  mg::threads[mg::current].slot = predicate != 0;
  mg::wait_for_warp(mask, file, line);
  for (unsigned i = 0; i < 32; i++)
    if (mask >> i & 1 && first + i < mg::count) result |= unsigned(mg::threads[first + i].slot) << i;
  mg::wait_for_warp(mask, file, line);
  return result;
}
inline int __any_sync(unsigned mask, int predicate, MG_WHERE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, MG_WHERE) {
  unsigned lanes = mg::count - mg::current / 32 * 32;  // of the last warp there may be fewer than 32
  unsigned there = lanes < 32 ? (1u << lanes) - 1 : ~0u;
  return __ballot_sync(mask, predicate, file, line) == (mask & there);
}

#undef assert
#define assert(ok) ((ok) ? (void)0 : mg::stop("assert(" #ok ") fails", __FILE__, __LINE__))

// --------------------------------------------------------------------------------------- atomics

namespace mg {
template <class T, class F>
T atomically(T* p, F change) {
  T old, next;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do next = change(old);
  while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
}  // namespace mg
template <class T>
T atomicAdd(T* p, T v) { return mg::atomically(p, [&](T old) { return T(old + v); }); }
template <class T>
T atomicMax(T* p, T v) { return mg::atomically(p, [&](T old) { return old > v ? old : v; }); }
template <class T>
T atomicMin(T* p, T v) { return mg::atomically(p, [&](T old) { return old < v ? old : v; }); }
template <class T>
T atomicExch(T* p, T v) { return mg::atomically(p, [&](T) { return v; }); }
template <class T>
T atomicCAS(T* p, T expected, T v) {
  return mg::atomically(p, [&](T old) { return old == expected ? v : old; });
}

// ------------------------------------------------------------------------------------- functions

template <class T>
T __ldg(const T* p) { return *p; }
#define MG_MIN_MAX(T)                                   \
  inline T min(T a, T b) { return b < a ? b : a; }      \
  inline T max(T a, T b) { return a < b ? b : a; }
MG_MIN_MAX(int)
MG_MIN_MAX(unsigned)
MG_MIN_MAX(long long)
MG_MIN_MAX(float)
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.f / x; }
inline void sincospif(float x, float* s, float* c) {
  *s = sinf(float(M_PI) * x), *c = cosf(float(M_PI) * x);
}
inline unsigned __float_as_uint(float f) { return mg::bits(f); }
inline int __float_as_int(float f) { return int(mg::bits(f)); }
inline float __uint_as_float(unsigned u) { return mg::from_bits(u); }
inline float __int_as_float(int i) { return mg::from_bits(unsigned(i)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t(a) * b >> 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
