// y = a b: a block makes 64 x 64 numbers of y, and each of its threads 4 x 4 of them, in registers.
// For these 16 it reads 4 numbers of a and 4 of b from shared memory, each used four times.
#include "mg.cuh"

#define TILE 64  // rows and columns of y for a block
#define DEEP 16  // terms of the sums that are in shared memory at a time
#define SIDE 16  // threads along a side of a block
#define EACH 4   // rows and columns of y for a thread: TILE / SIDE

extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  __shared__ float a_tile[TILE][DEEP];
  __shared__ float b_tile[DEEP][TILE];
  a += (size_t)blockIdx.z * M * K, b += (size_t)blockIdx.z * K * N, y += (size_t)blockIdx.z * M * N;
  int tx = threadIdx.x, ty = threadIdx.y;
  int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
  float sum[EACH][EACH] = {};

  for (int k0 = 0; k0 < K; k0 += DEEP) {
    for (int i = ty * SIDE + tx; i < TILE * DEEP; i += SIDE * SIDE) {
      int row = row0 + i / DEEP, k = k0 + i % DEEP;
      a_tile[i / DEEP][i % DEEP] = row < M && k < K ? a[(size_t)row * K + k] : 0;
    }
    for (int i = ty * SIDE + tx; i < DEEP * TILE; i += SIDE * SIDE) {
      int k = k0 + i / TILE, column = column0 + i % TILE;
      b_tile[i / TILE][i % TILE] = k < K && column < N ? b[(size_t)k * N + column] : 0;
    }
    __syncthreads();
    for (int k = 0; k < DEEP; k++) {
      // A thread's rows and columns lie SIDE apart, so that neighbours read neighbours.
      float a_now[EACH], b_now[EACH];
      for (int i = 0; i < EACH; i++) a_now[i] = a_tile[ty + i * SIDE][k];
      for (int j = 0; j < EACH; j++) b_now[j] = b_tile[k][tx + j * SIDE];
      for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) sum[i][j] += a_now[i] * b_now[j];
    }
    __syncthreads();
  }

  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++) {
      int row = row0 + ty + i * SIDE, column = column0 + tx + j * SIDE;
      if (row < M && column < N) y[(size_t)row * N + column] = sum[i][j];
    }
}
