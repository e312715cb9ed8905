// F(2x2, 3x3): a tile of 2 x 2 outputs from 16 products for each channel instead of 36.
//
//   U = G w G^T      for each c, o        U (16, C, O)
//   V = B^T x B      for each tile, c     V (16, T, C), tiles of 4 x 4 that overlap by two
//   M = V U          16 products          M (16, T, O)
//   y = A^T M A      for each tile, o
//
// x (N, H, W, C), w (3, 3, C, O), y (N, OH, OW, O); C and O multiples of 4.
#include "mg_tile.cuh"

// A thread transforms a 4 x 4 tile: first its columns, numbers 4 apart, then its rows.
__device__ void data_transform(float* v, int step) {
  float a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
  v[0] = a - c, v[step] = b + c, v[2 * step] = c - b, v[3 * step] = b - d;
}

__device__ void filter_transform(float* u, int step) {  // 3 numbers become 4
  float a = u[0], b = u[step], c = u[2 * step];
  float p = 0.5f * (a + c), q = 0.5f * b;
  u[step] = p + q, u[2 * step] = p - q, u[3 * step] = c;
}

__device__ void output_transform(float* m, int step) {  // 4 numbers become 2
  float a = m[0], b = m[step], c = m[2 * step], d = m[3 * step];
  m[0] = a + b + c, m[step] = b - c - d;
}

// A thread for each channel and output.
extern "C" __global__ void transform_filter(const float* w, float* U, int C, int O) {
  int index = blockIdx.x * blockDim.x + threadIdx.x, CO = C * O;
  if (index >= CO) return;
  float u[16];
#pragma unroll
  for (int i = 0; i < 3; i++)
#pragma unroll
    for (int j = 0; j < 3; j++) u[4 * i + j] = w[(3 * i + j) * CO + index];
#pragma unroll
  for (int j = 0; j < 3; j++) filter_transform(u + j, 4);
#pragma unroll
  for (int i = 0; i < 4; i++) filter_transform(u + 4 * i, 1);
#pragma unroll
  for (int i = 0; i < 16; i++) U[(size_t)i * CO + index] = u[i];
}

// A thread for each tile and channel: the 4 x 4 pixels that the tile's 2 x 2 outputs read.
extern "C" __global__ void transform_data(const float* x, float* V, int T, int H, int W, int C,
                                          int OH, int OW, int PH, int PW) {
  size_t index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= (size_t)T * C) return;
  int c = index % C, tile = index / C, across = (OW + 1) / 2, down = (OH + 1) / 2;
  int top = tile / across % down * 2 - PH, left = tile % across * 2 - PW;
  const float* image = x + (size_t)(tile / across / down) * H * W * C;
  float v[16];
#pragma unroll
  for (int i = 0; i < 16; i++) {
    int row = top + i / 4, column = left + i % 4;
    bool inside = row >= 0 && row < H && column >= 0 && column < W;
    v[i] = inside ? image[((size_t)row * W + column) * C + c] : 0;
  }
#pragma unroll
  for (int j = 0; j < 4; j++) data_transform(v + j, 4);
#pragma unroll
  for (int i = 0; i < 4; i++) data_transform(v + 4 * i, 1);
#pragma unroll
  for (int i = 0; i < 16; i++) V[(size_t)i * T * C + index] = v[i];
}

// 16 products of their own: M[z] (T, O) = V[z] (T, C) U[z] (C, O)
extern "C" __global__ void __launch_bounds__(128)
    multiply_tiles(const float4* V, const float4* U, float4* M, int T, int C, int O) {
  __shared__ Slice slices[2];
  int thread = threadIdx.x, C4 = C / 4, O4 = O / 4;
  int t0 = blockIdx.x * ROWS, o0 = blockIdx.y * COLUMNS;
  V += (size_t)blockIdx.z * T * C4, U += (size_t)blockIdx.z * C * O4;
  M += (size_t)blockIdx.z * T * O4;
  int t = t0 + thread, c4 = 0, c = thread / 16, o4 = o0 / 4 + thread % 16;
  auto load_v = [&](int) {
    float4 four = t < T && c4 < C4 ? V[(size_t)t * C4 + c4] : float4{};
    c4++;
    return four;
  };
  auto load_u = [&] {
    float4 four = c < C && o4 < O4 ? U[(size_t)c * O4 + o4] : float4{};
    c += TERMS;
    return four;
  };
  float sums[8][8] = {};
  multiply<ROWS_OF_A>(slices, C, load_v, load_u, sums);
  each_four(sums, [&](int row, int column, float4 four) {
    if (t0 + row < T && o0 + column < O) M[((size_t)(t0 + row) * O + o0 + column) / 4] = four;
  });
}

// A thread for each tile and output: 2 x 2 pixels, at the edge fewer.
extern "C" __global__ void transform_back(const float* M, float* y, int T, int O, int OH, int OW) {
  size_t index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= (size_t)T * O) return;
  int o = index % O, tile = index / O, across = (OW + 1) / 2, down = (OH + 1) / 2;
  int p = tile / across % down * 2, q = tile % across * 2, n = tile / across / down;
  float m[16];
#pragma unroll
  for (int i = 0; i < 16; i++) m[i] = M[(size_t)i * T * O + index];
#pragma unroll
  for (int j = 0; j < 4; j++) output_transform(m + j, 4);
#pragma unroll
  for (int i = 0; i < 2; i++) output_transform(m + 4 * i, 1);
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 2; j++)
      if (p + i < OH && q + j < OW)
        y[(((size_t)n * OH + p + i) * OW + q + j) * O + o] = m[4 * i + j];
}
