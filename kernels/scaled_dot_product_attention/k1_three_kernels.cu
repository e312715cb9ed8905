// y = softmax(scale q k^T) v in three kernels; the weights p (B, L, S) lie in memory in between.
//
// q (B, L, DH), k (B, S, DH), v (B, S, DV), y (B, L, DV). A thread makes one number, in the softmax
// one row.
#include "attention.cuh"

// p[b, i, j] = scale * (q[b, i] . k[b, j]), or -infinity where query i may not look at key j.
extern "C" __global__ void scores(const float* q, const float* k, float* p, int B, int L, int S, int D,
                                  float scale, const bool* mask, long long mask_head, int mask_query,
                                  int is_causal) {
  size_t n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (n >= (size_t)B * L * S) return;
  int j = n % S, i = n / S % L, b = n / S / L;
  q += ((size_t)b * L + i) * D, k += ((size_t)b * S + j) * D;
  float sum = 0;
  for (int d = 0; d < D; d++) sum += q[d] * k[d];
  p[n] = sees(mask + b * mask_head, mask_query, is_causal, i, j) ? scale * sum : -INFINITY;
}

// p = softmax(p) for each of R rows; a row of -infinity becomes 0.
extern "C" __global__ void softmax(float* p, long long R, int S) {
  size_t row = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= R) return;
  p += row * S;
  float top = LOWEST, sum = 0;
  for (int j = 0; j < S; j++) top = fmaxf(top, p[j]);
  for (int j = 0; j < S; j++) sum += p[j] = expf(p[j] - top);
  float share = sum == 0 ? 0 : 1 / sum;
  for (int j = 0; j < S; j++) p[j] *= share;
}

// y[b, i] = sum over j of p[b, i, j] * v[b, j].
extern "C" __global__ void product(const float* p, const float* v, float* y, int B, int L, int S, int D) {
  size_t n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (n >= (size_t)B * L * D) return;
  int d = n % D, b = n / D / L;
  p += n / D * S, v += (size_t)b * S * D;
  float sum = 0;
  for (int j = 0; j < S; j++) sum += p[j] * v[(size_t)j * D + d];
  y[n] = sum;
}

// The way back through the softmax: gs = scale * p * (gs - sum over keys of p * gs), in place.
extern "C" __global__ void softmax_grad(const float* p, float* gs, long long R, int S, float scale) {
  size_t row = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= R) return;
  p += row * S, gs += row * S;
  float sum = 0;
  for (int j = 0; j < S; j++) sum += p[j] * gs[j];
  for (int j = 0; j < S; j++) gs[j] = scale * p[j] * (gs[j] - sum);
}

// y[b, j] = sum over i of p[b, i, j] * x[b, i].
extern "C" __global__ void product_over_queries(const float* p, const float* x, float* y, int B, int L,
                                                int S, int D) {
  size_t n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (n >= (size_t)B * S * D) return;
  int d = n % D, j = n / D % S, b = n / D / S;
  p += (size_t)b * L * S + j, x += (size_t)b * L * D + d;
  float sum = 0;
  for (int i = 0; i < L; i++) sum += p[(size_t)i * S] * x[(size_t)i * D];
  y[n] = sum;
}
