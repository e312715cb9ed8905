// The parts of philox.h by themselves, a thread for each row of the result.
#include "philox.h"

extern "C" __global__ void bits(const uint4* counters, const unsigned* keys, uint4* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = philox(counters[i], make_uint2(keys[2 * i], keys[2 * i + 1]));
}

extern "C" __global__ void pairs(const unsigned* words, const unsigned* angles, float2* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = box_muller(words[i], angles[i]);
}

extern "C" __global__ void at(const long long* blocks, const unsigned* streams, const unsigned* seeds,
                              float4* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = philox_normals(blocks[i], streams[i], make_uint2(seeds[2 * i], seeds[2 * i + 1]));
}
