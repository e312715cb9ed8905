// The patch of x under each output pixel as a row of a matrix ("im2col"), then one product with the
// filter as a matrix.
//
// x (N, H, W, C), columns (N OH OW, KH KW C), w (KH KW C, O), y (N OH OW, O); C and O multiples of 4.
#include "mg_tile.cuh"

// A thread copies four channels of one tap of one pixel.
extern "C" __global__ void to_columns(const float4* x, float4* columns, int N, int H, int W, int C,
                                      int O, int KH, int KW, int OH, int OW, int SH, int SW, int PH,
                                      int PW) {
  int C4 = C / 4, K4 = KH * KW * C4;
  size_t index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= (size_t)N * OH * OW * K4) return;
  int k4 = index % K4, pixel = index / K4;
  int c4 = k4 % C4, j = k4 / C4 % KW, i = k4 / C4 / KW;
  int q = pixel % OW, p = pixel / OW % OH, n = pixel / OW / OH;
  int row = p * SH + i - PH, column = q * SW + j - PW;
  bool inside = row >= 0 && row < H && column >= 0 && column < W;
  columns[index] = inside ? x[(((size_t)n * H + row) * W + column) * C4 + c4] : float4{};
}

// y (M, O) = columns (M, K) w (K, O)
extern "C" __global__ void __launch_bounds__(128)
    multiply_columns(const float4* columns, const float4* w, float4* y, int M, int O, int K) {
  __shared__ Slice slices[2];
  int thread = threadIdx.x, O4 = O / 4, K4 = K / 4;
  int m0 = blockIdx.x * ROWS, o0 = blockIdx.y * COLUMNS;
  int m = m0 + thread, k4 = 0;                         // the row of columns that this thread loads
  int k = thread / 16, o4 = o0 / 4 + thread % 16;      // and its place in w

  auto load_columns = [&](int) {
    float4 four = m < M && k4 < K4 ? columns[(size_t)m * K4 + k4] : float4{};
    k4++;
    return four;
  };
  auto load_w = [&] {
    float4 four = k < K && o4 < O4 ? w[(size_t)k * O4 + o4] : float4{};
    k += TERMS;
    return four;
  };
  float sums[8][8] = {};
  multiply<ROWS_OF_A>(slices, K, load_columns, load_w, sums);
  each_four(sums, [&](int row, int column, float4 four) {
    if (m0 + row < M && o0 + column < O) y[((size_t)(m0 + row) * O + o0 + column) / 4] = four;
  });
}
