// The product of two matrices by register tiles, for kernels that say themselves where the numbers
// come from: a block of 128 threads makes 128 rows x 64 columns of the product, 8 x 8 in each thread.
//
//   __shared__ Slice slices[2];
//   float sums[8][8] = {};
//   multiply<ROWS_OF_A>(slices, K, load_a, load_b, sums);
//   each_four(sums, [&](int row, int column, float4 four) { ... });
//
// The sum over K goes slice by slice, 8 terms in each. A thread's share of the next slice, zeros beyond
// K and beyond the edges, is what these give:
//
//   load_b()                row thread / 16 of the slice, columns thread % 16 * 4 and the next three
//   load_a(0), load_a(1)
//     with ROWS_OF_A        of row `thread` of a the first four terms, then the last four
//     with COLUMNS_OF_A     term thread / 16, rows thread % 16 * 4 and the next three; then 64 further
//
// While a slice is multiplied the next one is on its way into registers; two slices in shared memory
// take turns, so one barrier for each is enough. 8 x 8 sums for 8 + 8 numbers fetched: four
// multiplications for each, where a thread with one sum has a half.
#pragma once
#include "mg.cuh"

#define ROWS 128
#define COLUMNS 64
#define TERMS 8  // in a slice

struct __align__(16) Slice {
  float a[TERMS][ROWS], b[TERMS][COLUMNS];
};
enum Loads { ROWS_OF_A, COLUMNS_OF_A };

// A thread has rows 4 r .. 4 r + 3 and 64 further, columns 4 c .. 4 c + 3 and 32 further: so that the
// threads of a warp read neighbouring fours.
__device__ __forceinline__ int first_row() { return threadIdx.x / 8 * 4; }
__device__ __forceinline__ int first_column() { return threadIdx.x % 8 * 4; }

__device__ __forceinline__ void add_products(const Slice& slice, float (&sums)[8][8]) {
#pragma unroll
  for (int k = 0; k < TERMS; k++) {
    __align__(16) float a[8], b[8];
    *(float4*)a = *(const float4*)&slice.a[k][first_row()];
    *(float4*)(a + 4) = *(const float4*)&slice.a[k][first_row() + ROWS / 2];
    *(float4*)b = *(const float4*)&slice.b[k][first_column()];
    *(float4*)(b + 4) = *(const float4*)&slice.b[k][first_column() + COLUMNS / 2];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
      for (int j = 0; j < 8; j++) sums[i][j] += a[i] * b[j];
  }
}

template <Loads LOADS>
__device__ __forceinline__ void put(Slice& slice, float4 a0, float4 a1, float4 b) {
  int thread = threadIdx.x, k = thread / 16, four = thread % 16 * 4;
  if (LOADS == ROWS_OF_A) {
    slice.a[0][thread] = a0.x, slice.a[1][thread] = a0.y;
    slice.a[2][thread] = a0.z, slice.a[3][thread] = a0.w;
    slice.a[4][thread] = a1.x, slice.a[5][thread] = a1.y;
    slice.a[6][thread] = a1.z, slice.a[7][thread] = a1.w;
  } else {
    *(float4*)&slice.a[k][four] = a0;
    *(float4*)&slice.a[k][four + ROWS / 2] = a1;
  }
  *(float4*)&slice.b[k][four] = b;
}

template <Loads LOADS, class LoadA, class LoadB>
__device__ __forceinline__ void multiply(Slice (&slices)[2], int K, LoadA load_a, LoadB load_b,
                                         float (&sums)[8][8]) {
  float4 a0 = load_a(0), a1 = load_a(1), b = load_b();
  put<LOADS>(slices[0], a0, a1, b);
  __syncthreads();
  for (int slice = 0; slice * TERMS < K; slice++) {
    a0 = load_a(0), a1 = load_a(1), b = load_b();  // zeros after the last
    add_products(slices[slice % 2], sums);
    put<LOADS>(slices[(slice + 1) % 2], a0, a1, b);
    __syncthreads();
  }
}

// give(row, column, four) for all that the thread has, row and column counted in the block's tile.
template <class Give>
__device__ __forceinline__ void each_four(const float (&sums)[8][8], Give give) {
#pragma unroll
  for (int i = 0; i < 8; i++)
#pragma unroll
    for (int j = 0; j < 8; j += 4)
      give(first_row() + i % 4 + i / 4 * (ROWS / 2), first_column() + j / 4 * (COLUMNS / 2),
           make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]));
}
