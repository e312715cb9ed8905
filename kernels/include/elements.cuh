// What elementwise kernels and norms share: packs of numbers, silu, sums over a warp and a block.
#pragma once
#include "mg.cuh"

#ifndef VECTOR
#define VECTOR 1
#endif

// VECTOR numbers, 1 or 4, that are neighbours in memory and travel in one instruction. Their address
// is a multiple of their size.
struct __align__(4 * VECTOR) Pack { float v[VECTOR]; };

// What is only read is __restrict__ in loops that also write: its loads need not wait for the stores.
static __device__ inline Pack load(const float* p) { return *(const Pack*)p; }
static __device__ inline void store(float* p, const Pack& a) { *(Pack*)p = a; }

static __device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }
static __device__ inline float silu(float x) { return x * sigmoid(x); }
static __device__ inline float silu_slope(float x) {  // d silu / dx
  float s = sigmoid(x);
  return s * (1 + x * (1 - s));
}

// The sum over the 32 lanes of a warp, the same bits in each.
static __device__ inline float warp_sum(float a) {
  for (int other = 16; other; other /= 2) a += __shfl_xor_sync(~0u, a, other);
  return a;
}

// The sum over a one-dimensional block of whole warps, the same bits in each thread.
static __device__ float block_sum(float a) {
  __shared__ float of_warps[32];
  a = warp_sum(a);
  __syncthreads();  // others may still read what the call before left here
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = a;
  __syncthreads();
  a = 0;
  for (int warp = 0; warp < blockDim.x / 32; warp++) a += of_warps[warp];
  return a;
}

#define MOST_THREADS 256  // of a block of columns and rows

// For blocks of columns (x) and rows (y): each column's sum over the rows, in their order.
static __device__ Pack sum_rows(const Pack& a) {
  __shared__ Pack of_threads[MOST_THREADS];
  int columns = blockDim.x;
  __syncthreads();  // others may still read what the call before left here
  of_threads[threadIdx.y * columns + threadIdx.x] = a;
  __syncthreads();
  if (threadIdx.y == 0) {
    Pack sum = a;
    for (int row = 1; row < blockDim.y; row++)
      for (int v = 0; v < VECTOR; v++) sum.v[v] += of_threads[row * columns + threadIdx.x].v[v];
    of_threads[threadIdx.x] = sum;
  }
  __syncthreads();
  return of_threads[threadIdx.x];
}
