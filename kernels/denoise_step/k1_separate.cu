// A sampler's step in three kernels, as the formulas are written: guidance, the step, noise.
#include "row.h"

extern "C" __global__ void guide(const float* prediction, float* p, const float* table, const int* step,
                                 long long n) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Row row = ((const Row*)table)[*step];
  p[i] = row.guided(prediction[i], prediction[n + i]);  // the second half of the batch has no condition
}

extern "C" __global__ void walk(const float* p, float* x, float* x0_hat, const float* table,
                                const int* step, long long n) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Row row = ((const Row*)table)[*step];
  float guess = row.guess(x[i], p[i]);
  float next = row.next_x * x[i] + row.next_guess * guess;
  if (row.next_last != 0) next += row.next_last * x0_hat[i];  // before the first step it holds anything
  x[i] = next;
  x0_hat[i] = guess;
}

extern "C" __global__ void add_noise(float* x, const float* noise, const float* table, const int* step,
                                     long long n) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += ((const Row*)table)[*step].next_noise * noise[i];
}
