// k2_implicit.cu on the tensor cores, with the tiles of conv2d/k6_implicit_mma.cu.
//
// g (N, OH, OW, chunks of O), weights (KH KW, C, chunks of O), both rounded; gx (N, H, W, C).
#include "mg_mma_tile.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
    conv2d_input_grad(const uint4* g, const uint4* weights, float* gx, int chunks, int N, int H,
                      int W, int C, int O, int KH, int KW, int OH, int OW, int SH, int SW, int PH,
                      int PW) {
  MG_DYNAMIC_SHARED(uint4, ring);
  int h0 = blockIdx.z / min(SW, W), w0 = blockIdx.z % min(SW, W);  // the phase: h = h0 + SH u
  int U = (H - h0 + SH - 1) / SH, V = (W - w0 + SW - 1) / SW;      // its pixels in an image
  int i0 = (h0 + PH) % SH, j0 = (w0 + PW) % SW;                    // its first tap
  int I = (KH - i0 + SH - 1) / SH, J = (KW - j0 + SW - 1) / SW;    // its taps
  int m0 = blockIdx.x * TILE, c0 = blockIdx.y * TILE, M = N * U * V;

  int bottom[COPIES], right[COPIES];  // the output pixels of the first tap, and their chunk in g
  long long corner[COPIES];
#pragma unroll
  for (int copy = 0; copy < COPIES; copy++) {
    int m = m0 + line_of<ALONG>(copy);
    bottom[copy] = m < M ? (h0 + m / V % U * SH + PH - i0) / SH : -1;  // beyond the last: above g
    right[copy] = (w0 + m % V * SW + PW - j0) / SW;
    corner[copy] = (((long long)(m / V / U) * OH + bottom[copy]) * OW + right[copy]) * chunks;
  }
  auto copy_g = [&](uint4* to, int copy, int step) {
    int k = step * DEEP + chunk_of<ALONG>(), tap = k / chunks, i = tap / J, j = tap % J;
    int p = bottom[copy] - i, q = right[copy] - j;
    bool inside = i < I && p >= 0 && p < OH && q >= 0 && q < OW;
    long long from = corner[copy] - (long long)(i * OW + j) * chunks + k % chunks;
    mg_copy16_or_zero(to, g + (inside ? from : 0), inside);
  };
  auto copy_weights = [&](uint4* to, int copy, int step) {
    int k = step * DEEP + chunk_of<ALONG>(), tap = k / chunks, c = c0 + line_of<ALONG>(copy);
    bool inside = tap < I * J && c < C;
    int of_filter = (i0 + tap / J * SH) * KW + j0 + tap % J * SW;
    size_t from = ((size_t)of_filter * C + c) * chunks + k % chunks;
    mg_copy16_or_zero(to, weights + (inside ? from : 0), inside);
  };
  Sums sums = {};
  multiply<ALONG>(ring, (I * J * chunks + DEEP - 1) / DEEP, copy_g, copy_weights, sums);
  each(sums, [&](int row, int column, float sum) {
    int m = m0 + row, c = c0 + column;
    int h = h0 + m / V % U * SH, w = w0 + m % V * SW, n = m / V / U;
    if (m < M && c < C) gx[(((size_t)n * H + h) * W + w) * C + c] = sum;
  });
}
