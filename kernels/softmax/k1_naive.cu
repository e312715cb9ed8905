// softmax along the last axis: a thread for each row.
//
// x, y, g, gx (R, C), row by row.
#include "mg.cuh"

#define LOWEST -3.402823466e38f  // of all finite numbers

extern "C" __global__ void softmax(const float* x, float* y, int R, int C) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= R) return;
  x += (size_t)row * C, y += (size_t)row * C;
  float top = LOWEST, sum = 0;
  for (int c = 0; c < C; c++) top = fmaxf(top, x[c]);
  for (int c = 0; c < C; c++) sum += y[c] = expf(x[c] - top);
  for (int c = 0; c < C; c++) y[c] *= 1 / sum;
}

extern "C" __global__ void softmax_grad(const float* g, const float* y, float* gx, int R, int C) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= R) return;
  g += (size_t)row * C, y += (size_t)row * C, gx += (size_t)row * C;
  float sum = 0;
  for (int c = 0; c < C; c++) sum += g[c] * y[c];
  for (int c = 0; c < C; c++) gx[c] = y[c] * (g[c] - sum);
}
