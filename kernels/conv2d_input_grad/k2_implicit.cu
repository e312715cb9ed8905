// The gradient of conv2d by its input as products of matrices: a row for each pixel of gx, with the g
// of all output pixels that read it, times the weights through which they did.
//
// Which taps these are depends on h % SH and w % SW only. So the pixels are taken in SH x SW phases,
// blockIdx.z, and in a phase all have the same taps: i = i0, i0 + SH, ... and the same for j.
//
// g (N, OH, OW, O), weights (KH, KW, O, C), gx (N, H, W, C); C and O multiples of 4.
#include "mg_tile.cuh"

extern "C" __global__ void __launch_bounds__(128)
    conv2d_input_grad(const float4* g, const float4* weights, float4* gx, int N, int H, int W,
                      int C, int O, int KH, int KW, int OH, int OW, int SH, int SW, int PH,
                      int PW) {
  __shared__ Slice slices[2];
  int thread = threadIdx.x, C4 = C / 4, O4 = O / 4;
  int h0 = blockIdx.z / min(SW, W), w0 = blockIdx.z % min(SW, W);    // the phase: h = h0 + SH u
  int U = (H - h0 + SH - 1) / SH, V = (W - w0 + SW - 1) / SW;        // its pixels in an image
  int i0 = (h0 + PH) % SH, j0 = (w0 + PW) % SW;                      // its first tap
  int I = (KH - i0 + SH - 1) / SH, J = (KW - j0 + SW - 1) / SW;      // its taps
  int M = N * U * V, K = I * J * O, m0 = blockIdx.x * ROWS, c0 = blockIdx.y * COLUMNS;

  int m = m0 + thread;  // the pixel for which this thread loads; the output pixel of its first tap:
  int bottom = m < M ? (h0 + m / V % U * SH + PH - i0) / SH : -1;  // beyond the last: above g
  int right = (w0 + m % V * SW + PW - j0) / SW;
  const float4* image = g + (size_t)(m / V / U) * OH * OW * O4;
  int i = 0, j = 0, o4 = 0;  // tap i0 + SH i, j0 + SW j: the one i up and j to the left
  auto load_g = [&](int) {
    int p = bottom - i, q = right - j;
    bool inside = i < I && p >= 0 && p < OH && q >= 0 && q < OW;
    float4 four = inside ? image[((size_t)p * OW + q) * O4 + o4] : float4{};
    if (++o4 == O4) {
      o4 = 0;
      if (++j == J) j = 0, i++;
    }
    return four;
  };
  int k = thread / 16, c4 = c0 / 4 + thread % 16;
  auto load_weights = [&] {
    float4 four = {};
    if (k < K && c4 < C4) {
      int tap = k / O, o = k % O;
      int row = i0 + tap / J * SH, column = j0 + tap % J * SW;
      four = weights[((size_t)(row * KW + column) * O + o) * C4 + c4];
    }
    k += TERMS;
    return four;
  };
  float sums[8][8] = {};
  multiply<ROWS_OF_A>(slices, K, load_g, load_weights, sums);
  each_four(sums, [&](int row, int column, float4 four) {
    int m = m0 + row, c = c0 + column;
    int h = h0 + m / V % U * SH, w = w0 + m % V * SW, n = m / V / U;
    if (m < M && c < C) gx[((((size_t)n * H + h) * W + w) * C + c) / 4] = four;
  });
}
