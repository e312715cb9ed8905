// y = a b: a block brings a tile of a and a tile of b into shared memory, and each number that it
// fetched is used 16 times.
#include "mg.cuh"

#define TILE 16

extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  __shared__ float a_tile[TILE][TILE];
  __shared__ float b_tile[TILE][TILE];
  a += (size_t)blockIdx.z * M * K, b += (size_t)blockIdx.z * K * N, y += (size_t)blockIdx.z * M * N;
  int tx = threadIdx.x, ty = threadIdx.y;
  int row = blockIdx.x * TILE + ty, column = blockIdx.y * TILE + tx;
  float sum = 0;
  for (int k0 = 0; k0 < K; k0 += TILE) {
    a_tile[ty][tx] = row < M && k0 + tx < K ? a[(size_t)row * K + k0 + tx] : 0;
    b_tile[ty][tx] = column < N && k0 + ty < K ? b[(size_t)(k0 + ty) * N + column] : 0;
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum += a_tile[ty][k] * b_tile[k][tx];
    __syncthreads();
  }
  if (row < M && column < N) y[(size_t)row * N + column] = sum;
}
