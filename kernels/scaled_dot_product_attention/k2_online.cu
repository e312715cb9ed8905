// y = softmax(scale q k^T) v without a matrix of scores: a thread for each query, which meets one key
// after the other, and on the way back also a thread for each key.
//
// q (B, L, DH), k (B, S, DH), v (B, S, DV), y (B, L, DV); top, share, dot (B, L). What a thread keeps
// for itself, rows of DH or DV numbers, stands in shared memory as a column of THREADS columns, as
// the number of registers would have to be known beforehand.
#include "attention.cuh"

#define THREADS 32

// The scores' maximum and 1 / the sum of their exponentials are kept for the way back.
extern "C" __global__ void attention(const float* q, const float* k, const float* v, float* y,
                                     float* top_of, float* share_of, int B, int L, int S, int DH, int DV,
                                     float scale, const bool* mask, long long mask_head,
                                     int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(float, columns);
  float* own_q = columns + threadIdx.x;
  float* mean = own_q + DH * THREADS;
  size_t n = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (n >= (size_t)B * L) return;
  int b = n / L, i = n % L;
  q += n * DH, y += n * DV, k += (size_t)b * S * DH, v += (size_t)b * S * DV;
  for (int d = 0; d < DH; d++) own_q[d * THREADS] = q[d];
  for (int d = 0; d < DV; d++) mean[d * THREADS] = 0;

  float top = LOWEST, sum = 0;
  for (int j = 0; j < S; j++, k += DH, v += DV) {
    if (!sees(mask + b * mask_head, mask_query, is_causal, i, j)) continue;
    float score = 0;
    for (int d = 0; d < DH; d++) score += own_q[d * THREADS] * k[d];
    score *= scale;
    // a larger maximum than before: what was added up so far shrinks
    float larger = fmaxf(top, score), shrink = expf(top - larger), weight = expf(score - larger);
    for (int d = 0; d < DV; d++) mean[d * THREADS] = mean[d * THREADS] * shrink + weight * v[d];
    sum = sum * shrink + weight, top = larger;
  }
  float share = sum == 0 ? 0 : 1 / sum;
  for (int d = 0; d < DV; d++) y[d] = mean[d * THREADS] * share;
  top_of[n] = top, share_of[n] = share;
}

// gq, and dot = g . y for the kernel that follows.
extern "C" __global__ void grad_of_queries(const float* g, const float* q, const float* k, const float* v,
                                           const float* y, const float* top_of, const float* share_of,
                                           float* dot_of, float* gq, int B, int L, int S, int DH, int DV,
                                           float scale, const bool* mask, long long mask_head,
                                           int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(float, columns);
  float* own_q = columns + threadIdx.x;
  float* own_g = own_q + DH * THREADS;
  float* sum = own_g + DV * THREADS;
  size_t n = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (n >= (size_t)B * L) return;
  int b = n / L, i = n % L;
  q += n * DH, g += n * DV, y += n * DV, gq += n * DH;
  k += (size_t)b * S * DH, v += (size_t)b * S * DV;
  float dot = 0;
  for (int d = 0; d < DV; d++) dot += (own_g[d * THREADS] = g[d]) * y[d];
  for (int d = 0; d < DH; d++) own_q[d * THREADS] = q[d], sum[d * THREADS] = 0;

  for (int j = 0; j < S; j++, k += DH, v += DV) {
    if (!sees(mask + b * mask_head, mask_query, is_causal, i, j)) continue;
    float score = 0, gp = 0;
    for (int d = 0; d < DH; d++) score += own_q[d * THREADS] * k[d];
    for (int d = 0; d < DV; d++) gp += own_g[d * THREADS] * v[d];
    float p = expf(scale * score - top_of[n]) * share_of[n], gs = scale * p * (gp - dot);
    for (int d = 0; d < DH; d++) sum[d * THREADS] += gs * k[d];
  }
  for (int d = 0; d < DH; d++) gq[d] = sum[d * THREADS];
  dot_of[n] = dot;
}

// gk and gv: the sums go over the queries, so that no two threads add to the same number.
extern "C" __global__ void grad_of_keys(const float* g, const float* q, const float* k, const float* v,
                                        const float* top_of, const float* share_of, const float* dot_of,
                                        float* gk, float* gv, int B, int L, int S, int DH, int DV,
                                        float scale, const bool* mask, long long mask_head,
                                        int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(float, columns);
  float* own_k = columns + threadIdx.x;
  float* own_v = own_k + DH * THREADS;
  float* sum_k = own_v + DV * THREADS;
  float* sum_v = sum_k + DH * THREADS;
  size_t n = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (n >= (size_t)B * S) return;
  int b = n / S, j = n % S;
  k += n * DH, v += n * DV, gk += n * DH, gv += n * DV;
  q += (size_t)b * L * DH, g += (size_t)b * L * DV;
  for (int d = 0; d < DH; d++) own_k[d * THREADS] = k[d], sum_k[d * THREADS] = 0;
  for (int d = 0; d < DV; d++) own_v[d * THREADS] = v[d], sum_v[d * THREADS] = 0;

  for (int i = 0; i < L; i++, q += DH, g += DV) {
    if (!sees(mask + b * mask_head, mask_query, is_causal, i, j)) continue;
    float score = 0, gp = 0;
    for (int d = 0; d < DH; d++) score += own_k[d * THREADS] * q[d];
    for (int d = 0; d < DV; d++) gp += own_v[d * THREADS] * g[d];
    size_t row = (size_t)b * L + i;
    float p = expf(scale * score - top_of[row]) * share_of[row], gs = scale * p * (gp - dot_of[row]);
    for (int d = 0; d < DH; d++) sum_k[d * THREADS] += gs * q[d];
    for (int d = 0; d < DV; d++) sum_v[d * THREADS] += p * g[d];
  }
  for (int d = 0; d < DH; d++) gk[d] = sum_k[d * THREADS];
  for (int d = 0; d < DV; d++) gv[d] = sum_v[d * THREADS];
}
