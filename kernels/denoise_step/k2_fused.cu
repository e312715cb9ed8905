// A sampler's step in one kernel: a thread reads all that belongs to a number and writes it once.
#include "row.h"

extern "C" __global__ void denoise_step(const float* prediction, bool is_guided, float* x, float* x0_hat,
                                        const float* noise, const float* table, const int* step,
                                        long long n) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Row row = ((const Row*)table)[*step];
  float p = prediction[i];
  if (is_guided) p = row.guided(p, prediction[n + i]);  // the second half of the batch has no condition
  float guess = row.guess(x[i], p);
  float next = row.next_x * x[i] + row.next_guess * guess;
  if (row.next_last != 0) next += row.next_last * x0_hat[i];  // before the first step it holds anything
  if (noise) next += row.next_noise * noise[i];
  x[i] = next;
  x0_hat[i] = guess;
}
