// Tensor cores and asynchronous copies: PTX on a GPU, what the PTX manual says they do on the CPU.
//
//   mg_ldmatrix_x4(r, p)           four 8x8 matrices of 16-bit numbers from shared memory; lane l gives
//                                  the address of row l % 8 of matrix l / 8 (16 bytes, aligned), and
//                                  gets numbers 2 (l % 4) and the next of row l / 4 of each matrix
//   mg_ldmatrix_x4_trans(r, p)     the same, each matrix transposed on the way
//   mg_mma_f16(d, a, b)            d (16x8, float) += a (16x16, half) b (16x8, half)
//   mg_mma_bf16(d, a, b)           the same in bfloat16
//   mg_mma_tf32(d, a, b)           d (16x8, float) += a (16x8) b (8x8), of each float 10 bits of mantissa
//   mg_copy16(shared, global)      starts a copy of 16 bytes
//   mg_copy16_or_zero(s, g, ok)    the same, or 16 zeros where ok is false: nothing is read from g then
//   mg_commit()                    the copies started since the last commit are one group
//   mg_wait<N>()                   waits until at most N of the last groups are under way; what a thread
//                                  copied is then its own to see, other threads need a barrier
//
// How the numbers of a matrix lie in the registers of a warp, with g = lane / 4 and t = lane % 4:
//
//   16-bit a  a[0] row g, columns 2t 2t+1;  a[1] row g + 8;  a[2] row g, columns + 8;  a[3] both
//   16-bit b  b[0] rows 2t 2t+1, column g;  b[1] rows + 8
//   tf32 a    a[0] row g, column t;  a[1] row g + 8;  a[2] column t + 4;  a[3] both
//   tf32 b    b[0] row t, column g;  b[1] row t + 4
//   d         d[0] row g, column 2t;  d[1] column 2t + 1;  d[2] d[3] row g + 8
//
// Source: PTX ISA 8.5, sections 9.7.9.25 (cp.async), 9.7.14.5 (mma, ldmatrix).
#pragma once
#include "mg.cuh"

#ifdef __CUDACC__

__device__ __forceinline__ unsigned mg_shared_address(const void* p) {
  return (unsigned)__cvta_generic_to_shared(p);
}
__device__ __forceinline__ void mg_ldmatrix_x4(unsigned* r, const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(mg_shared_address(p)) : "memory");
}
__device__ __forceinline__ void mg_ldmatrix_x4_trans(unsigned* r, const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(mg_shared_address(p)) : "memory");
}
#define MG_MMA(name, shape)                                                              \
  __device__ __forceinline__ void name(float* d, const unsigned* a, const unsigned* b) { \
    asm volatile("mma.sync.aligned." shape                                               \
                 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                        \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));    \
  }
#if __CUDA_ARCH__ >= 800
MG_MMA(mg_mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
MG_MMA(mg_mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MG_MMA(mg_mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
__device__ __forceinline__ unsigned mg_tf32(float x) {
  unsigned r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ void mg_copy16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :: "r"(mg_shared_address(shared)), "l"(global) : "memory");
}
__device__ __forceinline__ void mg_copy16_or_zero(void* shared, const void* global, bool ok) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(mg_shared_address(shared)), "l"(global), "r"(ok ? 16 : 0) : "memory");
}
__device__ __forceinline__ void mg_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ __forceinline__ void mg_wait() {
  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
}
#endif

#else  // on the CPU

namespace mg {
// Each lane shows its fragments; every lane computes its own four numbers from what the others show.
template <class Of, class To>
QUIET inline void mma(float* d, const unsigned* a, const unsigned* b, int K, Of of, To to,
                      const char* file, int line) {
  Thread* warp = &threads[current / 32 * 32];
  Thread& me = threads[current];
  me.fragment[0] = a, me.fragment[1] = b;
  wait_for_warp(~0u, file, line);
  unsigned g = lane() / 4, t = lane() % 4;
  float sums[4];
  for (int i = 0; i < 4; i++) {
    sums[i] = d[i];
    for (int k = 0; k < K; k++)
      sums[i] += of(warp, g + i / 2 * 8, k) * to(warp, k, 2 * t + i % 2);
  }
  wait_for_warp(~0u, file, line);
  for (int i = 0; i < 4; i++) d[i] = sums[i];
}
template <class T>
QUIET inline float number(const void* fragment, int reg, int half) {
  return ((const T*)((const unsigned*)fragment + reg))[half];
}
template <class T>
QUIET inline void mma16(float* d, const unsigned* a, const unsigned* b, const char* file, int line) {
  auto of = [](Thread* w, int row, int k) {
    return number<T>(w[row % 8 * 4 + k % 8 / 2].fragment[0], row / 8 + k / 8 * 2, k % 2);
  };
  auto to = [](Thread* w, int k, int column) {
    return number<T>(w[column * 4 + k % 8 / 2].fragment[1], k / 8, k % 2);
  };
  mma(d, a, b, 16, of, to, file, line);
}
// As tf32: the last 13 bits of a float, which mg_tf32 makes zeros, are not looked at.
QUIET inline float first_bits(const void* fragment, int reg) {
  return from_bits(((const unsigned*)fragment)[reg] & ~0x1fffu);
}
QUIET inline void ldmatrix(unsigned* r, const void* p, bool transposed, const char* file, int line) {
  Thread* warp = &threads[current / 32 * 32];
  threads[current].fragment[0] = p;
  if ((uintptr_t)p % 16) stop("ldmatrix needs an address that is a multiple of 16", file, line);
  wait_for_warp(~0u, file, line);
  unsigned g = lane() / 4, t = lane() % 4;
  for (int m = 0; m < 4; m++)
    for (int i = 0; i < 2; i++) {
      unsigned row = transposed ? 2 * t + i : g, column = transposed ? g : 2 * t + i;
      const uint16_t* of_row = (const uint16_t*)warp[m * 8 + row].fragment[0];
      ((uint16_t*)&r[m])[i] = of_row[column];
    }
  wait_for_warp(~0u, file, line);
}
}  // namespace mg

// The row that a lane names is read, and its registers are written, where sanitizers see it.
inline void mg_load(unsigned* r, const void* p, bool transposed, const char* file, int line) {
  volatile uint64_t seen = ((const volatile uint64_t*)p)[0];
  seen = ((const volatile uint64_t*)p)[1];
  unsigned loaded[4];
  mg::ldmatrix(loaded, p, transposed, file, line);
  for (int m = 0; m < 4; m++) r[m] = loaded[m];
}
inline void mg_ldmatrix_x4(unsigned* r, const void* p, MG_WHERE) { mg_load(r, p, false, file, line); }
inline void mg_ldmatrix_x4_trans(unsigned* r, const void* p, MG_WHERE) {
  mg_load(r, p, true, file, line);
}
inline void mg_mma_f16(float* d, const unsigned* a, const unsigned* b, MG_WHERE) {
  mg::mma16<half>(d, a, b, file, line);
}
inline void mg_mma_bf16(float* d, const unsigned* a, const unsigned* b, MG_WHERE) {
  mg::mma16<__nv_bfloat16>(d, a, b, file, line);
}
inline unsigned mg_tf32(float x) {  // a tie away from 0
  return x == x ? (mg::bits(x) + 0x1000) & ~0x1fffu : 0x7fffffffu;
}
inline void mg_mma_tf32(float* d, const unsigned* a, const unsigned* b, MG_WHERE) {
  auto of = [](mg::Thread* w, int row, int k) {
    return mg::first_bits(w[row % 8 * 4 + k % 4].fragment[0], row / 8 + k / 4 * 2);
  };
  auto to = [](mg::Thread* w, int k, int column) {
    return mg::first_bits(w[column * 4 + k % 4].fragment[1], k / 4);
  };
  mg::mma(d, a, b, 8, of, to, file, line);
}
// A copy may happen at any time between its start and the wait for it. Here its place is filled with
// NaN at the start and with the numbers at the wait: who looks in between sees it.
inline void mg_copy16_or_zero(void* shared, const void* global, bool ok, MG_WHERE) {
  mg::Thread& t = mg::threads[mg::current];
  if ((uintptr_t)shared % 16 || (ok && (uintptr_t)global % 16))
    mg::stop("cp.async needs addresses that are multiples of 16", file, line);
  mg::Copy copy = {(uint64_t*)shared, {}, t.copy_groups};
  for (int i = 0; i < 2; i++) {  // not by memcpy, into which ThreadSanitizer does not look
    if (ok) copy.words[i] = ((const uint64_t*)global)[i];
    copy.to[i] = ~uint64_t(0);
  }
  t.copies.push_back(copy);
}
inline void mg_copy16(void* shared, const void* global, MG_WHERE) {
  mg_copy16_or_zero(shared, global, true, file, line);
}
inline void mg_commit() { mg::threads[mg::current].copy_groups++; }
template <int N>
void mg_wait() {
  mg::Thread& t = mg::threads[mg::current];
  size_t done = 0;
  for (; done < t.copies.size() && t.copies[done].group + N < t.copy_groups; done++)
    for (int i = 0; i < 2; i++) t.copies[done].to[i] = t.copies[done].words[i];
  t.copies.erase(t.copies.begin(), t.copies.begin() + done);
}
#endif
