// A training step's end for up to eight parameters: clipping, AdamW, the moving average of the weights.
#include "adam.h"
#include "many.h"

__device__ inline void update(float* p, const float* g, float* m, float* v, float* average, long long n,
                              int chunk, const Adam& adam, float factor, float rise) {
  MG_FOR_CHUNK(i, chunk, n) {
    adam.update(p[i], factor * g[i], m[i], v[i]);
    if (average) average[i] += (p[i] - average[i]) * rise;
  }
}

#define TRY(k)                                                                                \
  if (chunk < mg_chunks(n##k))                                                                \
    return update(p##k, g##k, m##k, v##k, a##k, n##k, chunk, adam, clip, average_rise);       \
  chunk -= mg_chunks(n##k);

extern "C" __global__ void adamw(
    float* p0, const float* g0, float* m0, float* v0, float* a0, long long n0,
    float* p1, const float* g1, float* m1, float* v1, float* a1, long long n1,
    float* p2, const float* g2, float* m2, float* v2, float* a2, long long n2,
    float* p3, const float* g3, float* m3, float* v3, float* a3, long long n3,
    float* p4, const float* g4, float* m4, float* v4, float* a4, long long n4,
    float* p5, const float* g5, float* m5, float* v5, float* a5, long long n5,
    float* p6, const float* g6, float* m6, float* v6, float* a6, long long n6,
    float* p7, const float* g7, float* m7, float* v7, float* a7, long long n7,
    float decay, float rise1, float beta2, float rise2, float root, float eps, float step,
    const float* factor, float average_rise) {
  Adam adam = {decay, rise1, beta2, rise2, root, eps, step};
  float clip = factor ? *factor : 1.f;
  int chunk = blockIdx.x;
  MG_FOR_EIGHT(TRY)
}
