// A block makes 8 x 8 output pixels x 32 outputs. It brings the part of x that these pixels read, the
// halo included, and the filter into shared memory, a few channels at a time.
#include "mg.cuh"

#define TILE 8
#define OUTPUTS 32

// CS channels at a time; a block has OUTPUTS x TILE threads: an output and a row of 8 pixels each.
extern "C" __global__ void conv2d(const float* x, const float* w, float* y, int CS, int N, int H,
                                  int W, int C, int O, int KH, int KW, int OH, int OW, int SH,
                                  int SW, int PH, int PW) {
  int TH = (TILE - 1) * SH + KH, TW = (TILE - 1) * SW + KW;  // what 8 x 8 pixels read
  MG_DYNAMIC_SHARED(float, x_tile);                          // (TH, TW, CS)
  float* w_tile = x_tile + TH * TW * CS;                     // (KH, KW, CS, OUTPUTS)

  int tiles_across = (OW + TILE - 1) / TILE, tiles_down = (OH + TILE - 1) / TILE;
  int q0 = blockIdx.x % tiles_across * TILE, p0 = blockIdx.x / tiles_across % tiles_down * TILE;
  int n = blockIdx.x / tiles_across / tiles_down, o0 = blockIdx.y * OUTPUTS;
  int thread = threadIdx.y * OUTPUTS + threadIdx.x, threads = OUTPUTS * TILE;

  float sums[TILE] = {};
  for (int c0 = 0; c0 < C; c0 += CS) {
    for (int t = thread; t < TH * TW * CS; t += threads) {
      int c = c0 + t % CS;
      int row = p0 * SH - PH + t / CS / TW, column = q0 * SW - PW + t / CS % TW;
      bool inside = row >= 0 && row < H && column >= 0 && column < W && c < C;
      x_tile[t] = inside ? x[(((size_t)n * H + row) * W + column) * C + c] : 0;
    }
    for (int t = thread; t < KH * KW * CS * OUTPUTS; t += threads) {
      int o = o0 + t % OUTPUTS, c = c0 + t / OUTPUTS % CS, tap = t / OUTPUTS / CS;
      w_tile[t] = c < C && o < O ? w[(tap * C + c) * O + o] : 0;
    }
    __syncthreads();
    for (int i = 0; i < KH; i++)
      for (int j = 0; j < KW; j++)
        for (int c = 0; c < CS; c++) {
          float weight = w_tile[((i * KW + j) * CS + c) * OUTPUTS + threadIdx.x];
          const float* from = x_tile + ((threadIdx.y * SH + i) * TW + j) * CS + c;
#pragma unroll
          for (int q = 0; q < TILE; q++) sums[q] += weight * from[q * SW * CS];
        }
    __syncthreads();
  }
  int o = o0 + threadIdx.x, p = p0 + threadIdx.y;
  if (o >= O || p >= OH) return;
#pragma unroll
  for (int q = 0; q < TILE; q++)
    if (q0 + q < OW) y[(((size_t)n * OH + p) * OW + q0 + q) * O + o] = sums[q];
}
