// gw = columns^T g, a product of matrices with a small result and sums over all pixels: these are
// split into parts, one for each blockIdx.z, and a second kernel adds the parts.
//
// g (N OH OW, O), x (N, H, W, C), parts (Z, KH KW C, O), gw (KH KW C, O); C and O multiples of 4.
#include "mg_tile.cuh"

// A part has the pixels from blockIdx.z * length on.
extern "C" __global__ void __launch_bounds__(128)
    multiply_part(const float4* g, const float4* x, float4* parts, int length, int N, int H, int W,
                  int C, int O, int KH, int KW, int OH, int OW, int SH, int SW, int PH, int PW) {
  __shared__ Slice slices[2];
  int thread = threadIdx.x, C4 = C / 4, O4 = O / 4, K = KH * KW * C;
  int k0 = blockIdx.x * ROWS, o0 = blockIdx.y * COLUMNS;
  int first = blockIdx.z * length, end = min(N * OH * OW, first + length);

  // This thread loads what pixel m, m + 8, ... adds: four rows k, and four further down; and four o.
  int m = first + thread / 16, o4 = o0 / 4 + thread % 16;
  auto load_x = [&](int half) {
    int k4 = k0 / 4 + thread % 16 + half * (ROWS / 2 / 4);
    int c4 = k4 % C4, j = k4 / C4 % KW, i = k4 / C4 / KW;
    int n = m / OW / OH, row = m / OW % OH * SH + i - PH, column = m % OW * SW + j - PW;
    bool inside = m < end && row >= 0 && row < H && column >= 0 && column < W;
    return inside ? x[(((size_t)n * H + row) * W + column) * C4 + c4] : float4{};
  };
  auto load_g = [&] {
    float4 four = m < end && o4 < O4 ? g[(size_t)m * O4 + o4] : float4{};
    m += TERMS;
    return four;
  };
  float sums[8][8] = {};
  multiply<COLUMNS_OF_A>(slices, end - first, load_x, load_g, sums);
  each_four(sums, [&](int row, int column, float4 four) {
    int k = k0 + row, o = o0 + column;
    if (k < K && o < O) parts[(((size_t)blockIdx.z * K + k) * O + o) / 4] = four;
  });
}

// gw = the sum of Z parts, always in the same order: a thread for each of `size` fours.
extern "C" __global__ void add_parts(const float4* parts, float4* gw, int Z, int size) {
  int index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= size) return;
  float4 sum = parts[index];
  for (int z = 1; z < Z; z++) {
    float4 part = parts[(size_t)z * size + index];
    sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
  }
  gw[index] = sum;
}
