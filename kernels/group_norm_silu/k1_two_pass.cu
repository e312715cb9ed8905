// A block for each group of each image, which walks over the group's numbers: once for the mean, once
// for the variance about it, once for y.
//
// x, y, g, gx (N, P, C); weight and bias (C), their step 0, or (N, C), their step C; stats (2, N, G)
// mean and rstd; sums (2, N, C) over the pixels: gu and gu * z.
#include "norm.cuh"

extern "C" __global__ void forward(const float* x, const float* weight, const float* bias, float* y,
                                   float* stats, int P, int C, int groups, int weight_step,
                                   int bias_step, float eps) {
  int width = C / groups, n = blockIdx.x / groups, c0 = blockIdx.x % groups * width;
  size_t first = (size_t)n * P * C + c0;
  int count = P * width;
  x += first, y += first;
  weight += (size_t)n * weight_step + c0, bias += (size_t)n * bias_step + c0;

  float sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += x[i / width * C + i % width];
  float mean = block_sum(sum) / count;

  float squares = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    float d = x[i / width * C + i % width] - mean;
    squares += d * d;
  }
  float rstd = 1 / sqrtf(block_sum(squares) / count + eps);

  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int c = i % width, place = i / width * C + c;
    y[place] = activation((x[place] - mean) * rstd * weight[c] + bias[c]);
  }
  if (threadIdx.x == 0) stats[blockIdx.x] = mean, stats[gridDim.x + blockIdx.x] = rstd;
}

// A block for each channel of each image: the sums over its pixels.
extern "C" __global__ void backward_sums(const float* g, const float* x, const float* weight,
                                         const float* bias, const float* stats, float* sums, int P,
                                         int C, int groups, int weight_step, int bias_step) {
  int n = blockIdx.x / C, c = blockIdx.x % C, NG = gridDim.x / C * groups;
  int group = n * groups + c / (C / groups);
  size_t first = (size_t)n * P * C + c;
  float mean = stats[group], rstd = stats[NG + group];
  float w = weight[(size_t)n * weight_step + c], b = bias[(size_t)n * bias_step + c];
  float of_gu = 0, of_guz = 0;
  for (int p = threadIdx.x; p < P; p += blockDim.x) {
    float z = (x[first + p * C] - mean) * rstd;
    float gu = g[first + p * C] * activation_slope(z * w + b);
    of_gu += gu, of_guz += gu * z;
  }
  of_gu = block_sum(of_gu), of_guz = block_sum(of_guz);
  if (threadIdx.x == 0) sums[blockIdx.x] = of_gu, sums[gridDim.x + blockIdx.x] = of_guz;
}

// A block for each group of each image.
extern "C" __global__ void backward(const float* g, const float* x, const float* weight,
                                    const float* bias, const float* stats, const float* sums,
                                    float* gx, int P, int C, int groups, int weight_step,
                                    int bias_step) {
  int width = C / groups, n = blockIdx.x / groups, c0 = blockIdx.x % groups * width;
  size_t first = (size_t)n * P * C + c0, NC = (size_t)gridDim.x * width;
  int count = P * width;
  x += first, g += first, gx += first;
  weight += (size_t)n * weight_step + c0, bias += (size_t)n * bias_step + c0;
  sums += (size_t)n * C + c0;

  float h = 0, hz = 0;
  for (int c = threadIdx.x; c < width; c += blockDim.x)
    h += sums[c] * weight[c], hz += sums[NC + c] * weight[c];
  float mean_h = block_sum(h) / count, mean_hz = block_sum(hz) / count;

  float mean = stats[blockIdx.x], rstd = stats[gridDim.x + blockIdx.x];
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int c = i % width, place = i / width * C + c;
    float z = (x[place] - mean) * rstd;
    float gu = g[place] * activation_slope(z * weight[c] + bias[c]);
    gx[place] = rstd * (gu * weight[c] - mean_h - z * mean_hz);
  }
}
