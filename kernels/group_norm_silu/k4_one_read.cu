// A block for each group of each image keeps the whole group in shared memory: each number comes from
// memory once.
//
// The block's threads are columns of VECTOR channels and rows of pixels; columns * rows of them, as many
// as fit, work. A thread reads from `kept` only what it wrote there, so no barrier is needed for it.
#include "norm.cuh"

#define THREADS MOST_THREADS

extern "C" __global__ void forward(const float* __restrict__ x, const float* weight,
                                   const float* bias, float* y, float* stats, int P, int C,
                                   int groups, int weight_step, int bias_step, float eps) {
  MG_DYNAMIC_SHARED(float, kept);  // (P, width): x
  int width = C / groups, n = blockIdx.x / groups, c0 = blockIdx.x % groups * width;
  int columns = min(width / VECTOR, THREADS), rows = THREADS / columns;
  int row = threadIdx.x / columns, column = threadIdx.x % columns * VECTOR, tile = columns * VECTOR;
  size_t first = (size_t)n * P * C + c0;
  if (row >= rows) row = P;  // nothing for this thread to do

  float sum = 0, squares = 0;
  for (int c = column; c < width; c += tile)
#pragma unroll 4
    for (int p = row; p < P; p += rows) {
      Pack a = load(x + first + p * C + c);
      store(kept + p * width + c, a);
      for (int v = 0; v < VECTOR; v++) sum += a.v[v];
    }
  float mean = block_sum(sum) / (P * width);

  for (int c = column; c < width; c += tile)
    for (int p = row; p < P; p += rows) {
      Pack a = load(kept + p * width + c);
      for (int v = 0; v < VECTOR; v++) squares += (a.v[v] - mean) * (a.v[v] - mean);
    }
  float rstd = 1 / sqrtf(block_sum(squares) / (P * width) + eps);
  if (threadIdx.x == 0) stats[blockIdx.x] = mean, stats[gridDim.x + blockIdx.x] = rstd;

  weight += (size_t)n * weight_step + c0, bias += (size_t)n * bias_step + c0;
  for (int c = column; c < width; c += tile) {
    Pack w, b;
    for (int v = 0; v < VECTOR; v++) w.v[v] = weight[c + v], b.v[v] = bias[c + v];
    for (int p = row; p < P; p += rows) {
      Pack a = load(kept + p * width + c);
      for (int v = 0; v < VECTOR; v++)
        a.v[v] = activation((a.v[v] - mean) * rstd * w.v[v] + b.v[v]);
      store(y + first + p * C + c, a);
    }
  }
}

extern "C" __global__ void backward(const float* __restrict__ g, const float* __restrict__ x,
                                    const float* weight, const float* bias, const float* stats,
                                    float* sums, float* gx, int P, int C, int groups,
                                    int weight_step, int bias_step) {
  __shared__ float of_gu[THREADS * VECTOR], of_guz[THREADS * VECTOR];  // (rows, tile)
  MG_DYNAMIC_SHARED(float, kept);                                      // (2, P, width): h and z
  int N = gridDim.x / groups, width = C / groups, n = blockIdx.x / groups;
  int c0 = blockIdx.x % groups * width, count = P * width;
  int columns = min(width / VECTOR, THREADS), rows = THREADS / columns;
  int row = threadIdx.x / columns, column = threadIdx.x % columns * VECTOR, tile = columns * VECTOR;
  size_t first = (size_t)n * P * C + c0;
  float mean = stats[blockIdx.x], rstd = stats[gridDim.x + blockIdx.x];
  weight += (size_t)n * weight_step + c0, bias += (size_t)n * bias_step + c0;
  sums += (size_t)n * C + c0;
  if (row >= rows) row = P;

  float mean_h = 0, mean_hz = 0;
  for (int c1 = 0; c1 < width; c1 += tile) {
    int c = c1 + column;
    Pack gu = {}, guz = {};
#pragma unroll 2
    for (int p = row; p < P && c < width; p += rows) {
      Pack a = load(x + first + p * C + c), b = load(g + first + p * C + c);
      for (int v = 0; v < VECTOR; v++) {
        float w = weight[c + v], z = (a.v[v] - mean) * rstd;
        float up = b.v[v] * activation_slope(z * w + bias[c + v]);
        gu.v[v] += up, guz.v[v] += up * z;
        mean_h += up * w, mean_hz += up * w * z;
        b.v[v] = up * w, a.v[v] = z;
      }
      store(kept + p * width + c, b), store(kept + count + p * width + c, a);
    }
    __syncthreads();  // others may still add up the tile before
    store(of_gu + threadIdx.x * VECTOR, gu), store(of_guz + threadIdx.x * VECTOR, guz);
    __syncthreads();
    for (int i = threadIdx.x; i < tile && c1 + i < width; i += THREADS) {
      float sum = 0, sum_z = 0;
      for (int r = 0; r < rows; r++) sum += of_gu[r * tile + i], sum_z += of_guz[r * tile + i];
      sums[c1 + i] = sum, sums[(size_t)N * C + c1 + i] = sum_z;
    }
  }
  if (!gx) return;
  mean_h = block_sum(mean_h) / count, mean_hz = block_sum(mean_hz) / count;

  for (int c = column; c < width; c += tile)
    for (int p = row; p < P; p += rows) {
      Pack h = load(kept + p * width + c), z = load(kept + count + p * width + c);
      for (int v = 0; v < VECTOR; v++) h.v[v] = rstd * (h.v[v] - mean_h - z.v[v] * mean_hz);
      store(gx + first + p * C + c, h);
    }
}
