// softmax(q k^T / sqrt(DH)) v: a thread for each query. q (B, L, DH), k and v (B, S, DH), y (B, L, DH).
//
// The next two lines say how it is launched, in terms of its own sizes:
// grid: blocks(L, 64), B
// block: 64
#include "mg.cuh"

__device__ float score(const float* q, const float* k, int DH) {
  float sum = 0;
  for (int d = 0; d < DH; d++) sum += q[d] * k[d];
  return sum / sqrtf(DH);
}

extern "C" __global__ void scaled_dot_product_attention(const float* q, const float* k,
                                                        const float* v, float* y, int B, int L,
                                                        int S, int DH) {
  int row = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
  if (row >= L) return;
  q += (b * L + row) * DH, y += (b * L + row) * DH;
  k += b * S * DH, v += b * S * DH;
  float most = -INFINITY, sum = 0;
  for (int s = 0; s < S; s++) most = fmaxf(most, score(q, k + s * DH, DH));
  for (int d = 0; d < DH; d++) y[d] = 0;
  for (int s = 0; s < S; s++) {
    float weight = expf(score(q, k + s * DH, DH) - most);
    sum += weight;
    for (int d = 0; d < DH; d++) y[d] += weight * v[s * DH + d];
  }
  for (int d = 0; d < DH; d++) y[d] /= sum;
}
