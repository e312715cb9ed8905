// softmax along the last axis: a warp for each row, whose lanes take every 32nd number of it and
// hand their maxima and sums to each other by shuffles.
//
// x, y, g, gx (R, C), row by row.
#include "elements.cuh"

#define LOWEST -3.402823466e38f  // of all finite numbers

static __device__ inline float warp_max(float a) {
  for (int other = 16; other; other /= 2) a = fmaxf(a, __shfl_xor_sync(~0u, a, other));
  return a;
}

extern "C" __global__ void softmax(const float* x, float* y, int R, int C) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= R) return;  // the whole warp does
  x += (size_t)row * C, y += (size_t)row * C;
  float top = LOWEST, sum = 0;
  for (int c = lane; c < C; c += 32) top = fmaxf(top, x[c]);
  top = warp_max(top);
  for (int c = lane; c < C; c += 32) sum += y[c] = expf(x[c] - top);
  float share = 1 / warp_sum(sum);
  for (int c = lane; c < C; c += 32) y[c] *= share;  // a lane reads only what it wrote itself
}

extern "C" __global__ void softmax_grad(const float* g, const float* y, float* gx, int R, int C) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= R) return;
  g += (size_t)row * C, y += (size_t)row * C, gx += (size_t)row * C;
  float sum = 0;
  for (int c = lane; c < C; c += 32) sum += g[c] * y[c];
  sum = warp_sum(sum);
  for (int c = lane; c < C; c += 32) gx[c] = y[c] * (g[c] - sum);
}
