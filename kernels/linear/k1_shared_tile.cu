// y = x w + b: as matmul/k3_shared_tile; the bias is added to the sum while it is in a register.
//
// x (N, K), w (K, M), b (M,), y (N, M), row by row.
#include "mg.cuh"

#define TILE 16

extern "C" __global__ void linear(const float* x, const float* w, const float* b, float* y, int N,
                                  int K, int M) {
  __shared__ float x_tile[TILE][TILE];
  __shared__ float w_tile[TILE][TILE];
  int tx = threadIdx.x, ty = threadIdx.y;
  int row = blockIdx.x * TILE + ty, column = blockIdx.y * TILE + tx;
  float sum = 0;
  for (int k0 = 0; k0 < K; k0 += TILE) {
    x_tile[ty][tx] = row < N && k0 + tx < K ? x[(size_t)row * K + k0 + tx] : 0;
    w_tile[ty][tx] = column < M && k0 + ty < K ? w[(size_t)(k0 + ty) * M + column] : 0;
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum += x_tile[ty][k] * w_tile[k][tx];
    __syncthreads();
  }
  if (row < N && column < M) y[(size_t)row * M + column] = sum + b[column];
}
