// One warp and one instruction of mg_ptx.h at a time; fragments by the table at its top.
#include "mg_ptx.h"

// ---- mma: a, b and d row by row

#define MMA_16(name, T, mma)                                                                \
  __device__ void name##_of_a_warp(const T* a, const T* b, float* d) {                      \
    int g = threadIdx.x / 4, t = threadIdx.x % 4;                                           \
    T a_now[8], b_now[4];                                                                   \
    for (int i = 0; i < 8; i++)                                                             \
      a_now[i] = a[(g + i / 2 % 2 * 8) * 16 + 2 * t + i % 2 + i / 4 * 8];                    \
    for (int i = 0; i < 4; i++) b_now[i] = b[(2 * t + i % 2 + i / 2 * 8) * 8 + g];           \
    float sum[4];                                                                           \
    for (int i = 0; i < 4; i++) sum[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];             \
    mma(sum, (const unsigned*)a_now, (const unsigned*)b_now);                               \
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];             \
  }
MMA_16(f16, half, mg_mma_f16)
MMA_16(bf16, __nv_bfloat16, mg_mma_bf16)
extern "C" __global__ void mma_f16(const half* a, const half* b, float* d) { f16_of_a_warp(a, b, d); }
extern "C" __global__ void mma_bf16(const __nv_bfloat16* a, const __nv_bfloat16* b, float* d) {
  bf16_of_a_warp(a, b, d);
}
extern "C" __global__ void mma_tf32(const float* a, const float* b, float* d) {
  int g = threadIdx.x / 4, t = threadIdx.x % 4;
  unsigned a_now[4], b_now[2];
  for (int i = 0; i < 4; i++) a_now[i] = __float_as_uint(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; i++) b_now[i] = __float_as_uint(b[(t + i * 4) * 8 + g]);
  float sum[4];
  for (int i = 0; i < 4; i++) sum[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  mg_mma_tf32(sum, a_now, b_now);
  for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

// ---- ldmatrix: x is four matrices of 8 x 8; r what each lane got

extern "C" __global__ void load_matrices(const unsigned short* x, unsigned* r, bool transposed) {
  __shared__ uint4 rows[32];
  rows[threadIdx.x] = ((const uint4*)x)[threadIdx.x];
  __syncthreads();
  unsigned mine[4];
  if (transposed) mg_ldmatrix_x4_trans(mine, &rows[threadIdx.x]);
  else mg_ldmatrix_x4(mine, &rows[threadIdx.x]);
  for (int i = 0; i < 4; i++) r[threadIdx.x * 4 + i] = mine[i];
}
extern "C" __global__ void load_matrices_at(unsigned* r, int byte) {
  __shared__ uint4 rows[33];
  rows[threadIdx.x] = rows[threadIdx.x + 1] = make_uint4(0, 0, 0, 0);
  mg_ldmatrix_x4(r, (const char*)&rows[threadIdx.x] + byte);
}

// ---- cp.async: three groups of 16 bytes from x (3, 32, 4); all but the last `open` are waited for

extern "C" __global__ void copy_groups(const float* x, float* y, int open, bool commit_last) {
  __shared__ float4 copied[3][32];
  for (int i = 0; i < 3; i++) {
    mg_copy16(&copied[i][threadIdx.x], x + (i * 32 + threadIdx.x) * 4);
    if (i < 2 || commit_last) mg_commit();
  }
  if (open == 0) mg_wait<0>();
  if (open == 1) mg_wait<1>();
  if (open == 2) mg_wait<2>();
  for (int i = 0; i < 3; i++) ((float4*)y)[i * 32 + threadIdx.x] = copied[i][threadIdx.x];
}
extern "C" __global__ void copy_some(const float* x, float* y, int some) {
  __shared__ float4 copied[32];
  bool inside = threadIdx.x < some;
  mg_copy16_or_zero(&copied[threadIdx.x], inside ? x + threadIdx.x * 4 : nullptr, inside);
  mg_commit();
  mg_wait<0>();
  ((float4*)y)[threadIdx.x] = copied[threadIdx.x];
}
extern "C" __global__ void copy_from(const float* x, float* y, int first) {
  __shared__ float4 copied[32];
  mg_copy16(&copied[threadIdx.x], x + first + threadIdx.x * 4);
  mg_commit();
  mg_wait<0>();
  ((float4*)y)[threadIdx.x] = copied[threadIdx.x];
}

// ---- numbers

#define EACH(n) \
  int i = blockIdx.x * blockDim.x + threadIdx.x; \
  if (i < n)
extern "C" __global__ void to_half(const float* x, half* y, int n) { EACH(n) y[i] = __float2half(x[i]); }
extern "C" __global__ void from_half(const half* x, float* y, int n) { EACH(n) y[i] = __half2float(x[i]); }
extern "C" __global__ void to_bfloat16(const float* x, __nv_bfloat16* y, int n) {
  EACH(n) y[i] = __float2bfloat16(x[i]);
}
extern "C" __global__ void from_bfloat16(const __nv_bfloat16* x, float* y, int n) {
  EACH(n) y[i] = __bfloat162float(x[i]);
}
extern "C" __global__ void to_tf32(const float* x, unsigned* y, int n) { EACH(n) y[i] = mg_tf32(x[i]); }
