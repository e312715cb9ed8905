// y[i] ~ N(0, 1) of one stream of Philox: a thread for each counter, four numbers each.
#include "philox.h"

extern "C" __global__ void normals(float* y, const unsigned* seed, unsigned stream, long long n) {
  size_t block = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  float4 four = philox_normals(block, stream, make_uint2(seed[0], seed[1]));
  float of_thread[4] = {four.x, four.y, four.z, four.w};
  for (int j = 0; j < 4; j++)
    if (4 * block + j < n) y[4 * block + j] = of_thread[j];
}
