// A warp for each row, which stays in the warp's registers: PACKS packs for each lane. On the way back
// a warp takes many rows, one after the other, and its share of gweight and gbias stays in registers
// too, until the block adds up those of its warps.
//
// Formula and arrays as in k1; partial (blocks, 2, C) sums of g * z and of g over the block's rows.
#include "elements.cuh"

#ifndef PACKS
#define PACKS 1
#endif

extern "C" __global__ void forward(const float* __restrict__ x, const float* weight,
                                   const float* bias, float* y, float* stats, int R, int C,
                                   float eps) {
  int r = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (r >= R) return;  // the whole warp
  x += (size_t)r * C, y += (size_t)r * C;
  Pack a[PACKS];
  float sum = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < PACKS; i++) {
    int c = (i * 32 + lane) * VECTOR;
    if (c >= C) break;
    a[i] = load(x + c);
    for (int v = 0; v < VECTOR; v++) sum += a[i].v[v];
  }
  float mean = warp_sum(sum) / C;
#pragma unroll
  for (int i = 0; i < PACKS; i++) {
    if ((i * 32 + lane) * VECTOR >= C) break;
    for (int v = 0; v < VECTOR; v++) squares += (a[i].v[v] - mean) * (a[i].v[v] - mean);
  }
  float rstd = 1 / sqrtf(warp_sum(squares) / C + eps);
#pragma unroll
  for (int i = 0; i < PACKS; i++) {
    int c = (i * 32 + lane) * VECTOR;
    if (c >= C) break;
    Pack w = load(weight + c), b = load(bias + c);
    for (int v = 0; v < VECTOR; v++) a[i].v[v] = (a[i].v[v] - mean) * rstd * w.v[v] + b.v[v];
    store(y + c, a[i]);
  }
  if (lane == 0) stats[r] = mean, stats[(size_t)R + r] = rstd;
}

extern "C" __global__ void backward(const float* __restrict__ g, const float* __restrict__ x,
                                    const float* weight, const float* stats, float* gx,
                                    float* partial, int R, int C) {
  int lane = threadIdx.x;
  Pack of_gz[PACKS] = {}, of_g[PACKS] = {};
  for (int r = blockIdx.x * blockDim.y + threadIdx.y; r < R; r += gridDim.x * blockDim.y) {
    size_t first = (size_t)r * C;
    Pack z[PACKS], h[PACKS];
    float mean = stats[r], rstd = stats[(size_t)R + r], mean_h = 0, mean_hz = 0;
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
      int c = (i * 32 + lane) * VECTOR;
      if (c >= C) break;
      Pack a = load(x + first + c), b = load(g + first + c), w = load(weight + c);
      for (int v = 0; v < VECTOR; v++) {
        z[i].v[v] = (a.v[v] - mean) * rstd, h[i].v[v] = b.v[v] * w.v[v];
        mean_h += h[i].v[v], mean_hz += h[i].v[v] * z[i].v[v];
        of_g[i].v[v] += b.v[v], of_gz[i].v[v] += b.v[v] * z[i].v[v];
      }
    }
    mean_h = warp_sum(mean_h) / C, mean_hz = warp_sum(mean_hz) / C;
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
      int c = (i * 32 + lane) * VECTOR;
      if (c >= C || !gx) break;
      for (int v = 0; v < VECTOR; v++)
        h[i].v[v] = rstd * (h[i].v[v] - mean_h - z[i].v[v] * mean_hz);
      store(gx + first + c, h[i]);
    }
  }
  partial += (size_t)blockIdx.x * 2 * C;
#pragma unroll
  for (int i = 0; i < PACKS; i++) {
    int c = (i * 32 + lane) * VECTOR;
    Pack gz = sum_rows(of_gz[i]), gb = sum_rows(of_g[i]);
    if (threadIdx.y == 0 && c < C) store(partial + c, gz), store(partial + C + c, gb);
  }
}
