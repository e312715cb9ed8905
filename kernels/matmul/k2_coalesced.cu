// y = a b: as k1_naive, but the threads of a warp make neighbours in a row of y. So 32 of them read
// one number of a, and 32 neighbours in memory of b.
#include "mg.cuh"

extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  a += (size_t)blockIdx.z * M * K, b += (size_t)blockIdx.z * K * N, y += (size_t)blockIdx.z * M * N;
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  int column = blockIdx.y * blockDim.x + threadIdx.x;  // neighbours in a warp: other columns
  if (row >= M || column >= N) return;
  float sum = 0;
  for (int k = 0; k < K; k++) sum += a[(size_t)row * K + k] * b[(size_t)k * N + column];
  y[(size_t)row * N + column] = sum;
}
