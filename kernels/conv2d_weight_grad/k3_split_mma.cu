// k2_split.cu on the tensor cores, with the tiles of conv2d/k6_implicit_mma.cu: here the sum goes
// over pixels, and the numbers of a pixel lie together, across the sum: ldmatrix turns them.
//
// g (N OH OW, chunks of O), x (N, H, W, chunks of C), both rounded;
// parts (Z, KH KW 8 chunks of C, 8 chunks of O).
#include "mg_mma_tile.cuh"

#define TERMS 32  // pixels in a step

// A part has the pixels from blockIdx.z * length on.
extern "C" __global__ void __launch_bounds__(THREADS)
    multiply_part(const uint4* g, const uint4* x, float* parts, int length, int c_chunks,
                  int o_chunks, int N, int H, int W, int C, int O, int KH, int KW, int OH, int OW,
                  int SH, int SW, int PH, int PW) {
  MG_DYNAMIC_SHARED(uint4, ring);
  int k0 = blockIdx.x * TILE, o0 = blockIdx.y * TILE, K = KH * KW * c_chunks * 8;
  int first = blockIdx.z * length, end = min(N * OH * OW, first + length);

  int k_chunk = k0 / 8 + chunk_of<ACROSS>(), o_chunk = o0 / 8 + chunk_of<ACROSS>();
  int c = k_chunk % c_chunks, tap = k_chunk / c_chunks, i = tap / KW, j = tap % KW;
  auto copy_x = [&](uint4* to, int copy, int step) {
    int m = first + step * TERMS + line_of<ACROSS>(copy);
    int n = m / OW / OH, row = m / OW % OH * SH + i - PH, column = m % OW * SW + j - PW;
    bool inside = m < end && row >= 0 && row < H && column >= 0 && column < W;
    size_t from = (((size_t)n * H + row) * W + column) * c_chunks + c;
    mg_copy16_or_zero(to, x + (inside ? from : 0), inside);
  };
  auto copy_g = [&](uint4* to, int copy, int step) {
    int m = first + step * TERMS + line_of<ACROSS>(copy);
    bool inside = m < end && o_chunk < o_chunks;
    mg_copy16_or_zero(to, g + (inside ? (size_t)m * o_chunks + o_chunk : 0), inside);
  };
  Sums sums = {};
  multiply<ACROSS>(ring, (end - first + TERMS - 1) / TERMS, copy_x, copy_g, sums);
  each(sums, [&](int row, int column, float sum) {
    int k = k0 + row, o = o0 + column;
    if (k < K && o < o_chunks * 8)
      parts[((size_t)blockIdx.z * K + k) * o_chunks * 8 + o] = sum;
  });
}
