// The moving average of up to eight parameters in one launch; those that are missing have n = 0.
#include "many.h"

__device__ inline void follow(float* average, const float* p, long long n, int chunk, float rise) {
  MG_FOR_CHUNK(i, chunk, n) average[i] += (p[i] - average[i]) * rise;
}

#define TRY(k)                                                               \
  if (chunk < mg_chunks(n##k)) return follow(a##k, p##k, n##k, chunk, rise); \
  chunk -= mg_chunks(n##k);

extern "C" __global__ void ema(
    float* a0, const float* p0, long long n0,
    float* a1, const float* p1, long long n1,
    float* a2, const float* p2, long long n2,
    float* a3, const float* p3, long long n3,
    float* a4, const float* p4, long long n4,
    float* a5, const float* p5, long long n5,
    float* a6, const float* p6, long long n6,
    float* a7, const float* p7, long long n7,
    float rise) {
  int chunk = blockIdx.x;
  MG_FOR_EIGHT(TRY)
}
