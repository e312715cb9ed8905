// The implicit product on the tensor cores: as k4_implicit.cu, but chunks of 16 bytes go from x to
// shared memory past the registers, and where x would be read outside of the image zeros go there.
//
// x (N, H, W, chunks of C), w (KH KW, O, chunks of C), both rounded; y (N OH OW, O).
#include "mg_mma_tile.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
    conv2d(const uint4* x, const uint4* w, float* y, int chunks, int N, int H, int W, int C, int O,
           int KH, int KW, int OH, int OW, int SH, int SW, int PH, int PW) {
  MG_DYNAMIC_SHARED(uint4, ring);
  int m0 = blockIdx.x * TILE, o0 = blockIdx.y * TILE, M = N * OH * OW;

  int top[COPIES], left[COPIES];  // corners of the patches from which this thread copies
  long long corner[COPIES];       // and their chunk in x
#pragma unroll
  for (int copy = 0; copy < COPIES; copy++) {
    int m = m0 + line_of<ALONG>(copy);
    top[copy] = m < M ? m / OW % OH * SH - PH : -KH;  // beyond the last pixel: above the image
    left[copy] = m % OW * SW - PW;
    corner[copy] = (((long long)(m / OW / OH) * H + top[copy]) * W + left[copy]) * chunks;
  }
  auto copy_patch = [&](uint4* to, int copy, int step) {
    int k = step * DEEP + chunk_of<ALONG>(), tap = k / chunks, i = tap / KW, j = tap % KW;
    int row = top[copy] + i, column = left[copy] + j;
    bool inside = i < KH && row >= 0 && row < H && column >= 0 && column < W;
    long long from = corner[copy] + (long long)(i * W + j) * chunks + k % chunks;
    mg_copy16_or_zero(to, x + (inside ? from : 0), inside);
  };
  auto copy_w = [&](uint4* to, int copy, int step) {
    int k = step * DEEP + chunk_of<ALONG>(), tap = k / chunks, o = o0 + line_of<ALONG>(copy);
    bool inside = tap < KH * KW && o < O;
    mg_copy16_or_zero(to, w + (inside ? ((size_t)tap * O + o) * chunks + k % chunks : 0), inside);
  };
  Sums sums = {};
  int steps = (KH * KW * chunks + DEEP - 1) / DEEP;
  multiply<ALONG>(ring, steps, copy_patch, copy_w, sums);
  each(sums, [&](int row, int column, float sum) {
    int m = m0 + row, o = o0 + column;
    if (m < M && o < O) y[(size_t)m * O + o] = sum;
  });
}
