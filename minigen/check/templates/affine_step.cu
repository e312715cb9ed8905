// y = a x + b z: a thread for each number.
//
// The next two lines say how it is launched, in terms of its own sizes:
// grid: blocks(n, 256)
// block: 256
#include "mg.cuh"

extern "C" __global__ void affine_step(const float* x, const float* z, float* y, int n, float a,
                                       float b) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + b * z[i];
}
