// A block for each image reads it in the order of memory, whole rows of channels, all groups at once.
//
// A thread has VECTOR channels of a tile (threadIdx.x) and every blockDim.y-th pixel (threadIdx.y). Its
// mean and sum of squares about it grow by Welford's rule; then rows, channels and groups are put
// together by  squares = sum(squares_i + count_i * (mean_i - mean)^2), which never cancels.
#include "norm.cuh"

extern "C" __global__ void forward(const float* __restrict__ x, const float* weight,
                                   const float* bias, float* y, float* stats, int P, int C,
                                   int groups, int weight_step, int bias_step, float eps) {
  __shared__ float means[MOST_THREADS * VECTOR], squares[MOST_THREADS * VECTOR];  // (rows, tile)
  MG_DYNAMIC_SHARED(float, of_channels);                                          // (2, C)
  int N = gridDim.x, n = blockIdx.x, width = C / groups, tile = blockDim.x * VECTOR;
  int rows = blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
  int threads = blockDim.x * rows;
  x += (size_t)n * P * C, y += (size_t)n * P * C;
  weight += (size_t)n * weight_step, bias += (size_t)n * bias_step;

  for (int c0 = 0; c0 < C; c0 += tile) {
    int c = c0 + threadIdx.x * VECTOR, count = 0;
    Pack mean = {}, square = {};
    for (int p = threadIdx.y; p < P && c < C; p += rows) {
      Pack a = load(x + p * C + c);
      float share = 1.f / ++count;
      for (int v = 0; v < VECTOR; v++) {
        float d = a.v[v] - mean.v[v];
        mean.v[v] += d * share;
        square.v[v] += d * (a.v[v] - mean.v[v]);
      }
    }
    store(means + thread * VECTOR, mean), store(squares + thread * VECTOR, square);
    __syncthreads();
    for (int i = thread; i < tile && c0 + i < C; i += threads) {
      float sum = 0, about = 0;
      for (int row = 0; row < rows; row++)  // a row has the pixels row, row + rows, ...
        sum += (P - row + rows - 1) / rows * means[row * tile + i];
      for (int row = 0; row < rows; row++) {
        float d = means[row * tile + i] - sum / P;
        about += squares[row * tile + i] + (P - row + rows - 1) / rows * d * d;
      }
      of_channels[c0 + i] = sum / P, of_channels[C + c0 + i] = about;
    }
    __syncthreads();
  }

  for (int k = thread; k < groups; k += threads) {
    float sum = 0, about = 0;
    for (int c = k * width; c < (k + 1) * width; c++) sum += of_channels[c];
    for (int c = k * width; c < (k + 1) * width; c++) {
      float d = of_channels[c] - sum / width;
      about += of_channels[C + c] + P * d * d;
    }
    size_t group = (size_t)n * groups + k;
    stats[group] = sum / width;
    stats[(size_t)N * groups + group] = 1 / sqrtf(about / (P * width) + eps);
  }
  __syncthreads();

  for (int c = threadIdx.x * VECTOR; c < C; c += tile) {
    Channels of = channels(stats, N, groups, n, c, width, weight, bias);
    for (int p = threadIdx.y; p < P; p += rows) {
      Pack a = load(x + p * C + c);
      for (int v = 0; v < VECTOR; v++)
        a.v[v] = activation(normed(of, v, a.v[v]) * of.weight[v] + of.bias[v]);
      store(y + p * C + c, a);
    }
  }
}

extern "C" __global__ void backward(const float* __restrict__ g, const float* __restrict__ x,
                                    const float* weight, const float* bias, const float* stats,
                                    float* sums, float* gx, int P, int C, int groups,
                                    int weight_step, int bias_step) {
  MG_DYNAMIC_SHARED(float, of_groups);  // (2, groups): the means of h and of h * z
  int N = gridDim.x, n = blockIdx.x, width = C / groups, tile = blockDim.x * VECTOR;
  int rows = blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
  x += (size_t)n * P * C, g += (size_t)n * P * C;
  weight += (size_t)n * weight_step, bias += (size_t)n * bias_step;
  float *of_gu = sums + (size_t)n * C, *of_guz = sums + (size_t)(N + n) * C;

  for (int c0 = 0; c0 < C; c0 += tile) {
    int c = c0 + threadIdx.x * VECTOR;
    Pack gu = {}, guz = {};
    if (c < C) {
      Channels of = channels(stats, N, groups, n, c, width, weight, bias);
      for (int p = threadIdx.y; p < P; p += rows) {
        Pack a = load(x + p * C + c), b = load(g + p * C + c);
        for (int v = 0; v < VECTOR; v++) {
          float z = normed(of, v, a.v[v]), h = b.v[v] * slope(of, v, z);
          gu.v[v] += h, guz.v[v] += h * z;
        }
      }
    }
    gu = sum_rows(gu), guz = sum_rows(guz);
    if (threadIdx.y == 0 && c < C) store(of_gu + c, gu), store(of_guz + c, guz);
  }
  if (!gx) return;
  __syncthreads();

  for (int k = thread; k < groups; k += blockDim.x * rows) {
    float h = 0, hz = 0;
    for (int c = k * width; c < (k + 1) * width; c++)
      h += of_gu[c] * weight[c], hz += of_guz[c] * weight[c];
    of_groups[k] = h / (P * width), of_groups[groups + k] = hz / (P * width);
  }
  __syncthreads();

  gx += (size_t)n * P * C;
  for (int c = threadIdx.x * VECTOR; c < C; c += tile) {
    Channels of = channels(stats, N, groups, n, c, width, weight, bias);
    for (int p = threadIdx.y; p < P; p += rows) {
      Pack a = load(x + p * C + c), b = load(g + p * C + c);
      for (int v = 0; v < VECTOR; v++) {
        int k = (c + v) / width;
        float z = normed(of, v, a.v[v]), h = b.v[v] * slope(of, v, z) * of.weight[v];
        b.v[v] = of.rstd[v] * (h - of_groups[k] - z * of_groups[groups + k]);
      }
      store(gx + p * C + c, b);
    }
  }
}
