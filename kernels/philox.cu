// Arrays of random numbers: a thread for each counter of Philox, four numbers each.
#include "philox.h"

// The bits of given counters and keys.
extern "C" __global__ void bits(const uint4* counters, const unsigned* keys, uint4* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = philox(counters[i], make_uint2(keys[2 * i], keys[2 * i + 1]));
}

// y[i] ~ N(0, 1) of one stream.
extern "C" __global__ void normals(float* y, const unsigned* seed, unsigned stream, long long n) {
  size_t block = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  float4 four = philox_normals(block, stream, make_uint2(seed[0], seed[1]));
  float of_thread[4] = {four.x, four.y, four.z, four.w};
  for (int j = 0; j < 4; j++)
    if (4 * block + j < n) y[4 * block + j] = of_thread[j];
}
