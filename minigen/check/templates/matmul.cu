// y = a b: a thread for each number of y. a (M, K), b (K, N), y (M, N), row by row.
//
// The next three lines say how it is launched, in terms of its own sizes:
#define TILE 16
// grid: blocks(N, TILE), blocks(M, TILE)
// block: TILE, TILE
#include "mg.cuh"

extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  int column = blockIdx.x * TILE + threadIdx.x;
  int row = blockIdx.y * TILE + threadIdx.y;
  if (row >= M || column >= N) return;
  float sum = 0;
  for (int k = 0; k < K; k++) sum += a[row * K + k] * b[k * N + column];
  y[row * N + column] = sum;
}
