// Many blocks for an image: each has a chunk of its pixels and up to 32 * VECTOR of its channels. What
// they find is put together by a second kernel, in an order that does not depend on who came first;
// a third one, in chunks again, applies it.
//
// partial (N, chunks, 2, C): means and squares about them, or sums of gu and of gu * z.
#include "norm.cuh"

#define PIXELS 4  // of a thread; they stay in its registers, and are all on their way at once

// Where a block works: grid.x counts tiles of channels, then chunks, then images.
struct Place { int n, chunk, first, c; };  // first pixel, first channel of this thread

static __device__ inline Place place(int C, int chunks) {
  int tile = blockDim.x * VECTOR, tiles = (C + tile - 1) / tile;
  int chunk = blockIdx.x / tiles % chunks;
  return {int(blockIdx.x) / tiles / chunks, chunk, int(chunk * blockDim.y * PIXELS + threadIdx.y),
          int(blockIdx.x % tiles * tile + threadIdx.x * VECTOR)};
}

extern "C" __global__ void chunk_moments(const float* x, float* partial, int P, int C, int chunks) {
  Place at = place(C, chunks);
  x += (size_t)at.n * P * C + at.c;
  partial += ((size_t)at.n * chunks + at.chunk) * 2 * C + at.c;
  int end = at.c < C ? P : 0;  // beyond the last channel there are no pixels
  Pack a[PIXELS], mean = {}, squares = {};
#pragma unroll
  for (int i = 0; i < PIXELS; i++) {
    int p = at.first + i * blockDim.y;
    a[i] = p < end ? load(x + p * C) : Pack{};
  }
#pragma unroll
  for (int i = 0; i < PIXELS; i++)
    for (int v = 0; v < VECTOR; v++) mean.v[v] += a[i].v[v];
  mean = sum_rows(mean);
  int pixels = min(P - (at.first - int(threadIdx.y)), int(PIXELS * blockDim.y));
  for (int v = 0; v < VECTOR; v++) mean.v[v] /= pixels;
#pragma unroll
  for (int i = 0; i < PIXELS; i++)
    for (int v = 0; v < VECTOR; v++) {
      float d = int(at.first + i * blockDim.y) < end ? a[i].v[v] - mean.v[v] : 0;
      squares.v[v] += d * d;
    }
  squares = sum_rows(squares);
  if (threadIdx.y == 0 && at.c < C) store(partial, mean), store(partial + C, squares);
}

// A block for each group of each image: squares = sum(squares_i + count_i * (mean_i - mean)^2).
extern "C" __global__ void merge_moments(const float* partial, float* stats, int P, int C,
                                         int groups, int chunks, int most_pixels, float eps) {
  int width = C / groups, count = chunks * width;
  partial += (size_t)(blockIdx.x / groups) * chunks * 2 * C + blockIdx.x % groups * width;
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int chunk = i / width, pixels = min(P - chunk * most_pixels, most_pixels);
    sum += pixels * partial[chunk * 2 * C + i % width];
  }
  float mean = block_sum(sum) / (P * width);
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int chunk = i / width, pixels = min(P - chunk * most_pixels, most_pixels);
    float d = partial[chunk * 2 * C + i % width] - mean;
    squares += partial[(chunk * 2 + 1) * C + i % width] + pixels * d * d;
  }
  float var = block_sum(squares) / (P * width);
  if (threadIdx.x == 0) stats[blockIdx.x] = mean, stats[gridDim.x + blockIdx.x] = 1 / sqrtf(var + eps);
}

extern "C" __global__ void normalise(const float* x, const float* weight, const float* bias,
                                     const float* stats, float* y, int N, int P, int C, int groups,
                                     int weight_step, int bias_step, int chunks) {
  Place at = place(C, chunks);
  if (at.c >= C) return;
  size_t first = (size_t)at.n * P * C + at.c;
  Channels of = channels(stats, N, groups, at.n, at.c, C / groups,
                         weight + (size_t)at.n * weight_step, bias + (size_t)at.n * bias_step);
  Pack a[PIXELS];
#pragma unroll
  for (int i = 0; i < PIXELS; i++) {
    int p = at.first + i * blockDim.y;
    if (p < P) a[i] = load(x + first + p * C);
  }
#pragma unroll
  for (int i = 0; i < PIXELS; i++) {
    int p = at.first + i * blockDim.y;
    if (p >= P) return;
    for (int v = 0; v < VECTOR; v++)
      a[i].v[v] = activation(normed(of, v, a[i].v[v]) * of.weight[v] + of.bias[v]);
    store(y + first + p * C, a[i]);
  }
}

extern "C" __global__ void chunk_sums(const float* g, const float* x, const float* weight,
                                      const float* bias, const float* stats, float* partial, int N,
                                      int P, int C, int groups, int weight_step, int bias_step,
                                      int chunks) {
  Place at = place(C, chunks);
  size_t first = (size_t)at.n * P * C + at.c;
  partial += ((size_t)at.n * chunks + at.chunk) * 2 * C + at.c;
  Pack a[PIXELS], b[PIXELS], of_gu = {}, of_guz = {};
  if (at.c < C) {
    Channels of = channels(stats, N, groups, at.n, at.c, C / groups,
                           weight + (size_t)at.n * weight_step, bias + (size_t)at.n * bias_step);
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
      int p = at.first + i * blockDim.y;
      if (p < P) a[i] = load(x + first + p * C), b[i] = load(g + first + p * C);
    }
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
      if (int(at.first + i * blockDim.y) >= P) break;
      for (int v = 0; v < VECTOR; v++) {
        float z = normed(of, v, a[i].v[v]), gu = b[i].v[v] * slope(of, v, z);
        of_gu.v[v] += gu, of_guz.v[v] += gu * z;
      }
    }
  }
  of_gu = sum_rows(of_gu), of_guz = sum_rows(of_guz);
  if (threadIdx.y == 0 && at.c < C) store(partial, of_gu), store(partial + C, of_guz);
}

// A block for each group of each image, a warp for each of its channels in turn: sums over the chunks,
// and the group's means (2, N, G) of h and of h * z.
extern "C" __global__ void merge_sums(const float* partial, const float* weight, float* sums,
                                      float* means, int P, int C, int groups, int weight_step,
                                      int chunks) {
  int width = C / groups, n = blockIdx.x / groups, c0 = blockIdx.x % groups * width;
  int lane = threadIdx.x % 32;
  size_t NC = (size_t)gridDim.x * width;
  partial += (size_t)n * chunks * 2 * C + c0;
  weight += (size_t)n * weight_step + c0, sums += (size_t)n * C + c0;
  float h = 0, hz = 0;
  for (int c = threadIdx.x / 32; c < width; c += blockDim.x / 32) {
    float gu = 0, guz = 0;
    for (int chunk = lane; chunk < chunks; chunk += 32)
      gu += partial[chunk * 2 * C + c], guz += partial[(chunk * 2 + 1) * C + c];
    gu = warp_sum(gu), guz = warp_sum(guz);
    if (lane == 0) {
      sums[c] = gu, sums[NC + c] = guz;
      h += gu * weight[c], hz += guz * weight[c];
    }
  }
  h = block_sum(h), hz = block_sum(hz);
  if (threadIdx.x == 0)
    means[blockIdx.x] = h / (P * width), means[gridDim.x + blockIdx.x] = hz / (P * width);
}

extern "C" __global__ void backward(const float* g, const float* x, const float* weight,
                                    const float* bias, const float* stats, const float* means,
                                    float* gx, int N, int P, int C, int groups, int weight_step,
                                    int bias_step, int chunks) {
  Place at = place(C, chunks);
  if (at.c >= C) return;
  int width = C / groups;
  size_t first = (size_t)at.n * P * C + at.c;
  Channels of = channels(stats, N, groups, at.n, at.c, width, weight + (size_t)at.n * weight_step,
                         bias + (size_t)at.n * bias_step);
  Pack a[PIXELS], b[PIXELS], mean_h, mean_hz;
  for (int v = 0; v < VECTOR; v++) {
    size_t group = (size_t)at.n * groups + (at.c + v) / width;
    mean_h.v[v] = means[group], mean_hz.v[v] = means[(size_t)N * groups + group];
  }
#pragma unroll
  for (int i = 0; i < PIXELS; i++) {
    int p = at.first + i * blockDim.y;
    if (p < P) a[i] = load(x + first + p * C), b[i] = load(g + first + p * C);
  }
#pragma unroll
  for (int i = 0; i < PIXELS; i++) {
    int p = at.first + i * blockDim.y;
    if (p >= P) return;
    for (int v = 0; v < VECTOR; v++) {
      float z = normed(of, v, a[i].v[v]), h = b[i].v[v] * slope(of, v, z) * of.weight[v];
      b[i].v[v] = of.rstd[v] * (h - mean_h.v[v] - z * mean_hz.v[v]);
    }
    store(gx + first + p * C, b[i]);
  }
}
