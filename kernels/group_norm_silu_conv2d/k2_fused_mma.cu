// y = conv2d(silu(group_norm(x)), w), 3x3, padding 1, on the tensor cores: as k1, with x rounded to 16
// bits once it is normalised, and w by pack(), before. Sums stay float.
//
// Four warps share the block's 8 x 16 pixels x 64 outputs: each has two rows of 16 pixels, the 16 rows
// of two mma, and all 64 outputs, eight mma's 8 columns. For each tap of the filter the same tile is
// read again, a pixel further.
#include "mg_ptx.h"
#include "elements.cuh"

#ifndef NUMBER  // what numbers are rounded to, what rounds them, and what multiplies them
#define NUMBER __half
#define ROUND __float2half
#define MMA mg_mma_f16
#endif
#define TH 8
#define TW 16
#define OUTPUTS 64
#define CHANNELS 16  // at a time: what one mma adds up
#define THREADS 128
// Lines of shared memory are 16 bytes longer than what they hold, so that the eight that ldmatrix reads
// at once lie in different banks.
#define X_LINE (CHANNELS + 8)
#define W_LINE (OUTPUTS + 8)

struct __align__(2 * VECTOR) Rounded { NUMBER v[VECTOR]; };

// w (9, C, O) -> packed (9, CP, OP / 8): 8 outputs in 16 bytes; CP and OP are C and O, filled up with
// zeros to whole slices of channels and whole blocks of outputs. A thread for each 16 bytes, which are a
// multiple of 128: no thread is left over.
extern "C" __global__ void pack(const float* w, uint4* packed, int C, int O, int CP, int OP) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int o = i % (OP / 8) * 8, c = i / (OP / 8) % CP, tap = i / (OP / 8) / CP;
  __align__(16) NUMBER eight[8];
  for (int k = 0; k < 8; k++)
    eight[k] = ROUND(c < C && o + k < O ? w[((size_t)tap * C + c) * O + o + k] : 0);
  packed[i] = *(const uint4*)eight;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    conv(const float* x, const float* stats, const float* weight, const float* bias, const uint4* w,
         float* y, int CP, int OP, int N, int H, int W, int C, int O, int groups, int weight_step, int bias_step) {
  __shared__ __align__(16) NUMBER x_tile[(TH + 2) * (TW + 2) * X_LINE];  // a line for each pixel
  __shared__ __align__(16) NUMBER w_tile[9 * CHANNELS * W_LINE];         // for each tap and channel
  int across = (W + TW - 1) / TW, down = (H + TH - 1) / TH, thread = threadIdx.x;
  int left = blockIdx.x % across * TW, top = blockIdx.x / across % down * TH;
  int n = blockIdx.x / across / down, o0 = blockIdx.y * OUTPUTS;
  int warp = thread / 32, lane = thread % 32;
  x += (size_t)n * H * W * C;
  weight += (size_t)n * weight_step, bias += (size_t)n * bias_step;

  float sums[2][8][4] = {};  // row of pixels, eight outputs, mma's four numbers
  for (int c0 = 0; c0 < C; c0 += CHANNELS) {
    for (int t = thread; t < 9 * CHANNELS * OUTPUTS / 8; t += THREADS) {  // on its way meanwhile
      int o = t % (OUTPUTS / 8) * 8, line = t / (OUTPUTS / 8);
      size_t from = (size_t)(line / CHANNELS * CP + c0 + line % CHANNELS) * OP + o0 + o;
      mg_copy16(w_tile + line * W_LINE + o, w + from / 8);
    }
    mg_commit();
    int slot = thread % (CHANNELS / VECTOR) * VECTOR, c = c0 + slot;  // what this thread brings
    float mean[VECTOR], rstd[VECTOR], scale[VECTOR], shift[VECTOR];
    for (int v = 0; v < VECTOR && c < C; v++) {
      size_t group = (size_t)n * groups + (c + v) / (C / groups);
      mean[v] = stats[group], rstd[v] = stats[(size_t)N * groups + group];
      scale[v] = weight[c + v], shift[v] = bias[c + v];
    }
    for (int t = thread * VECTOR / CHANNELS; t < (TH + 2) * (TW + 2);
         t += THREADS * VECTOR / CHANNELS) {
      int p = top + t / (TW + 2) - 1, q = left + t % (TW + 2) - 1;
      bool inside = p >= 0 && p < H && q >= 0 && q < W && c < C;  // the rim of zeros is not normed
      Pack a = inside ? load(x + (p * W + q) * C + c) : Pack{};
      Rounded r;
      for (int v = 0; v < VECTOR; v++)
        r.v[v] = ROUND(inside ? silu((a.v[v] - mean[v]) * rstd[v] * scale[v] + shift[v]) : 0);
      *(Rounded*)(x_tile + t * X_LINE + slot) = r;
    }
    mg_wait<0>();
    __syncthreads();
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
      unsigned a[2][4], b[4][4];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        int pixel = (warp * 2 + r + tap / 3) * (TW + 2) + lane % 16 + tap % 3;
        mg_ldmatrix_x4(a[r], x_tile + pixel * X_LINE + lane / 16 * 8);
      }
#pragma unroll
      for (int j = 0; j < 4; j++)  // 16 channels of 16 outputs, turned: lines of w run along o
        mg_ldmatrix_x4_trans(
            b[j], w_tile + (tap * CHANNELS + lane % 16) * W_LINE + j * 16 + lane / 16 * 8);
#pragma unroll
      for (int r = 0; r < 2; r++)
#pragma unroll
        for (int j = 0; j < 8; j++) MMA(sums[r][j], a[r], b[j / 2] + j % 2 * 2);
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < 2; r++)
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int p = top + warp * 2 + r, q = left + lane / 4 + i / 2 * 8;
        int o = o0 + j * 8 + lane % 4 * 2 + i % 2;
        if (p < H && q < W && o < O) y[(((size_t)n * H + p) * W + q) * O + o] = sums[r][j][i];
      }
}
