// y = a b + bias: each thread makes 8 x 8 numbers of y, from 16 numbers of shared memory for each k,
// which come as four float4. While it computes with one tile, the next is on its way.
//
//   block    128 x 64 numbers of y, four warps   0 1     z counts the products, and of each the
//                                                2 3     parts into which its sums are cut
//   warp     64 x 32, eight lanes down, four across
//   thread   four squares of 4 x 4, 32 rows and 16 columns apart: neighbours read neighbours
//
// a is (M, K), its lines in memory along k, or lies as (K, M), lines across; b likewise is (K, N) with
// lines across, or lies as (N, K). Both become tiles of lines across: tile[k][row], tile[k][column].
#include "mg.cuh"

#define ROWS 128
#define COLUMNS 64
#define DEEP 8  // terms of the sums in a tile
#define THREADS 128

// Four neighbours in a line of memory that has `left` numbers more; zeros beyond its end. In lines
// whose length is a multiple of four they start at a multiple of 16 bytes, and come at once.
__device__ float4 four(const float* p, int left, bool at_once) {
  if (at_once) return left > 0 ? *(const float4*)p : make_float4(0, 0, 0, 0);
  return make_float4(left > 0 ? p[0] : 0, left > 1 ? p[1] : 0, left > 2 ? p[2] : 0, left > 3 ? p[3] : 0);
}

// A tile, SIZE x DEEP numbers from (first, k0) on, into registers of all threads.
template <int SIZE>
__device__ void fetch(float4* fours, const float* x, int size, int K, bool along_k, int first, int k0) {
#pragma unroll
  for (int n = 0; n < SIZE * DEEP / 4 / THREADS; n++) {
    int i = threadIdx.x + n * THREADS;
    if (along_k) {
      int at = first + i / (DEEP / 4), k = k0 + i % (DEEP / 4) * 4;
      fours[n] = four(x + (size_t)at * K + k, at < size ? K - k : 0, K % 4 == 0);
    } else {
      int k = k0 + i / (SIZE / 4), at = first + i % (SIZE / 4) * 4;
      fours[n] = four(x + (size_t)k * size + at, k < K ? size - at : 0, size % 4 == 0);
    }
  }
}

// From the registers to shared memory. A float4 more in each line spreads it over the banks.
template <int SIZE>
__device__ void store(float4 (*tile)[SIZE / 4 + 1], const float4* fours, bool along_k) {
#pragma unroll
  for (int n = 0; n < SIZE * DEEP / 4 / THREADS; n++) {
    int i = threadIdx.x + n * THREADS;
    if (along_k) {
      int at = i / (DEEP / 4), k = i % (DEEP / 4) * 4;
      ((float*)tile[k])[at] = fours[n].x;
      ((float*)tile[k + 1])[at] = fours[n].y;
      ((float*)tile[k + 2])[at] = fours[n].z;
      ((float*)tile[k + 3])[at] = fours[n].w;
    } else {
      tile[i / (SIZE / 4)][i % (SIZE / 4)] = fours[n];
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const float* a, const float* b, const float* bias, float* y, int M, int N, int K,
       bool a_along_k, bool b_along_k, int parts) {
  __shared__ float4 a_tile[2][DEEP][ROWS / 4 + 1];
  __shared__ float4 b_tile[2][DEEP][COLUMNS / 4 + 1];
  float4 a_next[ROWS * DEEP / 4 / THREADS], b_next[COLUMNS * DEEP / 4 / THREADS];
  float sum[8][8] = {};
  int product = blockIdx.z / parts, part = blockIdx.z % parts;
  a += (size_t)product * M * K, b += (size_t)product * K * N, y += (size_t)blockIdx.z * M * N;
  int row0 = blockIdx.x * ROWS, column0 = blockIdx.y * COLUMNS;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int row = warp / 2 * 64 + lane / 4 * 4, column = warp % 2 * 32 + lane % 4 * 4;

  int steps = (K + DEEP - 1) / DEEP, each = (steps + parts - 1) / parts;
  int step = part * each, last = min(step + each, steps);
  fetch<ROWS>(a_next, a, M, K, a_along_k, row0, step * DEEP);
  fetch<COLUMNS>(b_next, b, N, K, b_along_k, column0, step * DEEP);
  for (; step < last; step++) {
    int now = step % 2;
    store<ROWS>(a_tile[now], a_next, a_along_k);
    store<COLUMNS>(b_tile[now], b_next, b_along_k);
    // One barrier will do: who fills this tile again has passed the next one, as have its readers.
    __syncthreads();
    fetch<ROWS>(a_next, a, M, K, a_along_k, row0, (step + 1) * DEEP);
    fetch<COLUMNS>(b_next, b, N, K, b_along_k, column0, (step + 1) * DEEP);
#pragma unroll
    for (int k = 0; k < DEEP; k++) {
      __align__(16) float a_now[8];
      __align__(16) float b_now[8];
      *(float4*)a_now = a_tile[now][k][row / 4];
      *(float4*)(a_now + 4) = a_tile[now][k][row / 4 + 8];
      *(float4*)b_now = b_tile[now][k][column / 4];
      *(float4*)(b_now + 4) = b_tile[now][k][column / 4 + 4];
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) sum[i][j] += a_now[i] * b_now[j];
    }
  }

#pragma unroll
  for (int i = 0; i < 8; i++)
#pragma unroll
    for (int j = 0; j < 8; j += 4) {
      int m = row0 + row + i % 4 + i / 4 * 32, n = column0 + column + j * 4;
      if (m >= M || n >= N) continue;
      float* to = y + (size_t)m * N + n;
#pragma unroll
      for (int c = 0; c < 4; c++)
        if (bias && n + c < N) sum[i][j + c] += bias[n + c];
      if (N % 4 == 0) {
        *(float4*)to = make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
      } else {
#pragma unroll
        for (int c = 0; c < 4; c++)
          if (n + c < N) to[c] = sum[i][j + c];
      }
    }
}
