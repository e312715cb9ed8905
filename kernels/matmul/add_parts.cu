// The last step of a sum that was cut into parts: y (products, size) = the sum over the parts of
// sums (products, parts, size), in their order, and the bias of N columns where there is one.
#include "mg.cuh"

extern "C" __global__ void add_parts(const float* sums, const float* bias, float* y, int all,
                                     int parts, int size, int N) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= all) return;
  const float* mine = sums + i / size * parts * size + i % size;
  float sum = bias ? bias[i % N] : 0;
  for (int part = 0; part < parts; part++) sum += mine[part * size];
  y[i] = sum;
}
