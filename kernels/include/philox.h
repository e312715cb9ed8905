// Random numbers without a state: a number is a function of its place.
//
//   philox(counter, key)                 128 random bits, the rounds of the cipher below
//   philox_normals(block, stream, seed)  4 numbers of N(0, 1), elements 4 block ... 4 block + 3 of an array
//
// Which counter gives which element: element i of an array is number i % 4 of the counter
//
//   x, y   i / 4, low and high 32 bits
//   z      stream: one array of noise for each, in a sampler 0 for the start and 1 + step for a step
//   w      0
//
// under the key (low and high 32 bits of the seed). So neither the size of a block nor the number of
// GPUs changes a picture, and a thread needs no memory to draw from. For a fixed key the rounds undo
// one another, so that different counters give different 128 bits: no stream repeats another.
// kernels/philox.py is the same in NumPy: the bits are equal, the normals differ by rounding, less than
// 2e-6 (tests/kernels/test_philox.py).
//
// Source: John Salmon, Mark Moraes, Ron Dror, David Shaw, Parallel Random Numbers: As Easy as 1, 2, 3,
// 2011, section 3.3, Philox4x32-10; George Box, Mervin Muller, A Note on the Generation of Random Normal
// Deviates, 1958.
#pragma once
#include "mg.cuh"

__device__ inline uint4 philox(uint4 counter, uint2 key) {
  for (int round = 0; round < 10; round++) {
    unsigned high_x = __umulhi(0xD2511F53u, counter.x), low_x = 0xD2511F53u * counter.x;
    unsigned high_z = __umulhi(0xCD9E8D57u, counter.z), low_z = 0xCD9E8D57u * counter.z;
    counter = make_uint4(high_z ^ counter.y ^ key.x, low_z, high_x ^ counter.w ^ key.y, low_x);
    key.x += 0x9E3779B9u, key.y += 0xBB67AE85u;  // the golden ratio and the root of 3, of 2^32
  }
  return counter;
}

// Two normals from two random words: a point at a random angle, its distance from 0 that of a normal
// in the plane, sqrt(-2 log u). u lies in (0, 1], 2^-33 at least, so the distance is 6.8 at most.
__device__ inline float2 box_muller(unsigned word, unsigned angle) {
  float u = float(word) * 0x1p-32f + 0x1p-33f, sine, cosine;
  sincospif(float(int(angle)) * 0x1p-31f, &sine, &cosine);  // of pi times -1 to 1
  float distance = sqrtf(-2.f * logf(u));
  return make_float2(distance * cosine, distance * sine);
}

__device__ inline float4 philox_normals(unsigned long long block, unsigned stream, uint2 seed) {
  uint4 r = philox(make_uint4(unsigned(block), unsigned(block >> 32), stream, 0), seed);
  float2 first = box_muller(r.x, r.y), second = box_muller(r.z, r.w);
  return make_float4(first.x, first.y, second.x, second.y);
}
