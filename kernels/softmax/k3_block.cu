// softmax along the last axis: a block for each row, the maximum and the sum in one pass.
//
// A pair (top, sum) tells of some numbers their maximum and the sum of exp(number - top). Two pairs
// merge into one: the sum of the smaller top is scaled down to the larger one.
//
// x, y, g, gx (R, C), row by row.
#include "elements.cuh"

#define LOWEST -3.402823466e38f  // of all finite numbers

static __device__ inline void merge(float& top, float& sum, float other_top, float other_sum) {
  float larger = fmaxf(top, other_top);
  sum = sum * expf(top - larger) + other_sum * expf(other_top - larger);
  top = larger;
}

extern "C" __global__ void softmax(const float* x, float* y, int R, int C) {
  __shared__ float tops[32], sums[32];
  x += (size_t)blockIdx.x * C, y += (size_t)blockIdx.x * C;
  float top = LOWEST, sum = 0;
  for (int c = threadIdx.x; c < C; c += blockDim.x) merge(top, sum, x[c], 1);
  for (int other = 16; other; other /= 2)
    merge(top, sum, __shfl_xor_sync(~0u, top, other), __shfl_xor_sync(~0u, sum, other));
  if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = top, sums[threadIdx.x / 32] = sum;
  __syncthreads();
  top = LOWEST, sum = 0;
  for (int warp = 0; warp < blockDim.x / 32; warp++) merge(top, sum, tops[warp], sums[warp]);
  for (int c = threadIdx.x; c < C; c += blockDim.x) y[c] = expf(x[c] - top) / sum;
}

extern "C" __global__ void softmax_grad(const float* g, const float* y, float* gx, int R, int C) {
  g += (size_t)blockIdx.x * C, y += (size_t)blockIdx.x * C, gx += (size_t)blockIdx.x * C;
  float sum = 0;
  for (int c = threadIdx.x; c < C; c += blockDim.x) sum += g[c] * y[c];
  sum = block_sum(sum);
  for (int c = threadIdx.x; c < C; c += blockDim.x) gx[c] = y[c] * (g[c] - sum);
}
