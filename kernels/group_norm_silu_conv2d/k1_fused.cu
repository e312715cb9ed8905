// y = conv2d(silu(group_norm(x)), w), 3x3, padding 1. A block makes 8 x 16 pixels of 64 outputs. While
// it brings x with its halo into shared memory it normalises it: the array between the two ops is
// never written.
//
// x (N, H, W, C), w (3, 3, C, O), y (N, H, W, O); stats (2, N, G) mean and rstd; the norm's weight (C),
// its step 0, or (N, C), its step C; so its bias.
#include "elements.cuh"

#define TH 8  // the tile's pixels
#define TW 16
#define OUTPUTS 64
#define CHANNELS 8  // at a time
#define THREADS 128

// Each thread makes 8 neighbouring pixels of 8 outputs, in two fours.
extern "C" __global__ void __launch_bounds__(THREADS)
    conv(const float* x, const float* stats, const float* weight, const float* bias, const float* w,
         float* y, int N, int H, int W, int C, int O, int groups, int weight_step, int bias_step) {
  __shared__ float x_tile[CHANNELS][TH + 2][TW + 2];
  __shared__ __align__(16) float w_tile[9][CHANNELS][OUTPUTS];
  int across = (W + TW - 1) / TW, down = (H + TH - 1) / TH, thread = threadIdx.x;
  int left = blockIdx.x % across * TW, top = blockIdx.x / across % down * TH;
  int n = blockIdx.x / across / down, o0 = blockIdx.y * OUTPUTS;
  int row = thread / 16, column = thread / 8 % 2 * 8, four = thread % 8 * 4;  // of this thread's part
  x += (size_t)n * H * W * C;
  weight += (size_t)n * weight_step, bias += (size_t)n * bias_step;

  float sums[8][8] = {};  // pixel, output
  for (int c0 = 0; c0 < C; c0 += CHANNELS) {
    int slot = thread % CHANNELS, c = c0 + slot;  // the channel that this thread brings
    float mean = 0, rstd = 0, scale = 0, shift = 0;
    if (c < C) {
      size_t group = (size_t)n * groups + c / (C / groups);
      mean = stats[group], rstd = stats[(size_t)N * groups + group];
      scale = weight[c], shift = bias[c];
    }
    for (int t = thread / CHANNELS; t < (TH + 2) * (TW + 2); t += THREADS / CHANNELS) {
      int p = top + t / (TW + 2) - 1, q = left + t % (TW + 2) - 1;
      bool inside = p >= 0 && p < H && q >= 0 && q < W && c < C;  // the rim of zeros is not normed
      float a = inside ? silu((x[(p * W + q) * C + c] - mean) * rstd * scale + shift) : 0;
      x_tile[slot][t / (TW + 2)][t % (TW + 2)] = a;
    }
    for (int t = thread; t < 9 * CHANNELS * OUTPUTS; t += THREADS) {
      int o = o0 + t % OUTPUTS, of = c0 + t / OUTPUTS % CHANNELS, tap = t / OUTPUTS / CHANNELS;
      (&w_tile[0][0][0])[t] = of < C && o < O ? w[((size_t)tap * C + of) * O + o] : 0;
    }
    __syncthreads();
    for (int k = 0; k < CHANNELS; k++)
      for (int i = 0; i < 3; i++) {
        float a[10];  // what the filter's row reads for 8 pixels
#pragma unroll
        for (int j = 0; j < 10; j++) a[j] = x_tile[k][row + i][column + j];
#pragma unroll
        for (int j = 0; j < 3; j++) {
          const float* of_tap = &w_tile[i * 3 + j][k][four];
          float4 low = *(const float4*)of_tap, high = *(const float4*)(of_tap + OUTPUTS / 2);
          float b[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
          for (int q = 0; q < 8; q++)
#pragma unroll
            for (int o = 0; o < 8; o++) sums[q][o] += a[q + j] * b[o];
        }
      }
    __syncthreads();
  }

  int p = top + row;
  if (p >= H) return;
#pragma unroll
  for (int q = 0; q < 8; q++)
#pragma unroll
    for (int o = 0; o < 8; o += VECTOR) {
      int output = o0 + o / 4 * (OUTPUTS / 2) + four + o % 4;
      if (left + column + q >= W || output >= O) continue;
      Pack four_or_one;
      for (int v = 0; v < VECTOR; v++) four_or_one.v[v] = sums[q][o + v];
      store(y + (((size_t)n * H + p) * W + left + column + q) * O + output, four_or_one);
    }
}
