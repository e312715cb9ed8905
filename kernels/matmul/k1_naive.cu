// y = a b: a thread for each number of y, which walks along a row of a and a column of b.
//
// a (M, K), b (K, N), y (M, N), row by row. A block is 16 x 16 numbers of y; z counts the products.
#include "mg.cuh"

extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  a += (size_t)blockIdx.z * M * K, b += (size_t)blockIdx.z * K * N, y += (size_t)blockIdx.z * M * N;
  int row = blockIdx.x * blockDim.x + threadIdx.x;  // neighbours in a warp: other rows
  int column = blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= M || column >= N) return;
  float sum = 0;
  for (int k = 0; k < K; k++) sum += a[(size_t)row * K + k] * b[(size_t)k * N + column];
  y[(size_t)row * N + column] = sum;
}
