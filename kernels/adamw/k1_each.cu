// AdamW for one parameter, a thread for each of its numbers.
#include "adam.h"

extern "C" __global__ void adamw(float* p, const float* g, float* m, float* v, long long n, float decay,
                                 float rise1, float beta2, float rise2, float root, float eps, float step) {
  Adam adam = {decay, rise1, beta2, rise2, root, eps, step};
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) adam.update(p[i], g[i], m[i], v[i]);
}
