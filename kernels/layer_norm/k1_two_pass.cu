// A warp for each row, which walks over it once for the mean, once for the variance about it, once for
// y. The gradients of weight and bias are sums over the rows: a block for 32 columns.
//
//   z = (x - mean) * rstd, y = z * weight + bias;  h = g * weight
//   gx = rstd * (h - mean(h) - z * mean(h * z))    gweight = sum(g * z)    gbias = sum(g)
//
// x, y, g, gx (R, C); weight, bias (C); stats (2, R) mean and rstd; affine (2, C) gweight and gbias.
// Blocks are 32 lanes times as many warps.
#include "elements.cuh"

extern "C" __global__ void forward(const float* x, const float* weight, const float* bias, float* y,
                                   float* stats, int R, int C, float eps) {
  int r = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (r >= R) return;  // the whole warp
  x += (size_t)r * C, y += (size_t)r * C;
  float sum = 0, squares = 0;
  for (int c = lane; c < C; c += 32) sum += x[c];
  float mean = warp_sum(sum) / C;
  for (int c = lane; c < C; c += 32) squares += (x[c] - mean) * (x[c] - mean);
  float rstd = 1 / sqrtf(warp_sum(squares) / C + eps);
  for (int c = lane; c < C; c += 32) y[c] = (x[c] - mean) * rstd * weight[c] + bias[c];
  if (lane == 0) stats[r] = mean, stats[(size_t)R + r] = rstd;
}

extern "C" __global__ void backward(const float* g, const float* x, const float* weight,
                                    const float* stats, float* gx, int R, int C) {
  int r = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (r >= R) return;
  x += (size_t)r * C, g += (size_t)r * C, gx += (size_t)r * C;
  float mean = stats[r], rstd = stats[(size_t)R + r], of_h = 0, of_hz = 0;
  for (int c = lane; c < C; c += 32) {
    float h = g[c] * weight[c];
    of_h += h, of_hz += h * ((x[c] - mean) * rstd);
  }
  of_h = warp_sum(of_h) / C, of_hz = warp_sum(of_hz) / C;
  for (int c = lane; c < C; c += 32)
    gx[c] = rstd * (g[c] * weight[c] - of_h - (x[c] - mean) * rstd * of_hz);
}

extern "C" __global__ void backward_affine(const float* g, const float* x, const float* stats,
                                           float* affine, int R, int C) {
  int c = blockIdx.x * 32 + threadIdx.x;
  Pack of_gz = {}, of_g = {};
  for (int r = threadIdx.y; r < R && c < C; r += blockDim.y) {
    size_t place = (size_t)r * C + c;
    of_gz.v[0] += g[place] * ((x[place] - stats[r]) * stats[(size_t)R + r]);
    of_g.v[0] += g[place];
  }
  of_gz = sum_rows(of_gz), of_g = sum_rows(of_g);
  if (threadIdx.y == 0 && c < C) affine[c] = of_gz.v[0], affine[C + c] = of_g.v[0];
}
