// The product of columns and filter without the columns: whoever needs a number of them works out
// where in x it stands.
//
// x (N, H, W, C), w (KH KW C, O), y (N OH OW, O); C and O multiples of 4.
#include "mg_tile.cuh"

extern "C" __global__ void __launch_bounds__(128)
    conv2d(const float4* x, const float4* w, float4* y, int N, int H, int W, int C, int O, int KH,
           int KW, int OH, int OW, int SH, int SW, int PH, int PW) {
  __shared__ Slice slices[2];
  int thread = threadIdx.x, C4 = C / 4, O4 = O / 4, M = N * OH * OW, K = KH * KW * C;
  int m0 = blockIdx.x * ROWS, o0 = blockIdx.y * COLUMNS;

  int m = m0 + thread;  // the pixel whose patch this thread loads; top left corner of the patch:
  int top = m < M ? m / OW % OH * SH - PH : -KH;  // beyond the last pixel: above the image
  int left = m % OW * SW - PW;
  const float4* image = x + (size_t)(m / OW / OH) * H * W * C4;
  int i = 0, j = 0, c4 = 0;  // how far in the patch
  auto load_patch = [&](int) {
    int row = top + i, column = left + j;
    bool inside = i < KH && row >= 0 && row < H && column >= 0 && column < W;
    float4 four = inside ? image[((size_t)row * W + column) * C4 + c4] : float4{};
    if (++c4 == C4) {
      c4 = 0;
      if (++j == KW) j = 0, i++;
    }
    return four;
  };
  int k = thread / 16, o4 = o0 / 4 + thread % 16;
  auto load_w = [&] {
    float4 four = k < K && o4 < O4 ? w[(size_t)k * O4 + o4] : float4{};
    k += TERMS;
    return four;
  };
  float sums[8][8] = {};
  multiply<ROWS_OF_A>(slices, K, load_patch, load_w, sums);
  each_four(sums, [&](int row, int column, float4 four) {
    if (m0 + row < M && o0 + column < O) y[((size_t)(m0 + row) * O + o0 + column) / 4] = four;
  });
}
