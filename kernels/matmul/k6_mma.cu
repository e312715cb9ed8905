// y = a b + bias on the tensor cores: pack() rounds a and b, matmul() multiplies what it packed.
//
// Packed, a matrix is lines along k, filled up with zeros to whole chunks of 16 bytes, which is what
// cp.async copies and ldmatrix reads: a (M, chunks), b (N, chunks). The sums are float.
#include "mg_ptx.h"

#ifndef NUMBER  // what the numbers are rounded to, what rounds them, and what multiplies them
#define NUMBER __half
#define ROUND __float2half
#define MMA mg_mma_f16
#endif
#ifndef WARP_TILE  // rows and columns of y for a warp; a block has 2 x 2 warps
#define WARP_TILE 64
#endif
#define WIDTH 32  // of the squares in which pack() works

extern "C" __global__ void pack(const float* x, uint4* packed, int lines, int K, int chunks,
                                bool along_k) {
  __shared__ float square[WIDTH][WIDTH + 1];  // where lines lie across, it is turned in here
  int length = chunks * (16 / sizeof(NUMBER)), squares = (length + WIDTH - 1) / WIDTH;
  int line0 = blockIdx.x / squares * WIDTH, k0 = blockIdx.x % squares * WIDTH;
  x += (size_t)blockIdx.z * lines * K, packed += (size_t)blockIdx.z * lines * chunks;
  for (int i = threadIdx.y; i < WIDTH; i += blockDim.y) {  // neighbours read neighbours
    int line = along_k ? i : threadIdx.x, k = along_k ? threadIdx.x : i;
    size_t at = along_k ? (size_t)(line0 + line) * K + k0 + k : (size_t)(k0 + k) * lines + line0 + line;
    square[line][k] = line0 + line < lines && k0 + k < K ? x[at] : 0;
  }
  __syncthreads();
  for (int i = threadIdx.y; i < WIDTH; i += blockDim.y) {  // and write neighbours
    int line = line0 + i, k = k0 + threadIdx.x;
    if (line < lines && k < length)
      ((NUMBER*)packed)[(size_t)line * length + k] = ROUND(square[i][threadIdx.x]);
  }
}

#define THREADS 128
#define TILE (2 * WARP_TILE)  // rows and columns of y for a block
#define STAGES 4  // tiles in shared memory: one is read, the others are on their way
#define DEEP 4    // chunks of a line in a tile: 64 bytes
#define LINES (2 * TILE)  // of a tile: those of a, then those of b

// Where a chunk of a line lies in its tile. Two lines are 128 bytes, all banks; ldmatrix reads the
// same chunk of eight lines, which this turns into eight different places.
__device__ int place(int line, int chunk) { return line * DEEP + (chunk ^ line / 2 % DEEP); }

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const uint4* a, const uint4* b, const float* bias, float* y, int M, int N, int chunks,
       int parts) {
  MG_DYNAMIC_SHARED(uint4, ring);  // STAGES tiles
  int product = blockIdx.z / parts, part = blockIdx.z % parts;
  a += (size_t)product * M * chunks, b += (size_t)product * N * chunks;
  y += (size_t)blockIdx.z * M * N;
  int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int row = warp / 2 * WARP_TILE, column = warp % 2 * WARP_TILE;  // of the warp, in the tile

  int steps = (chunks + DEEP - 1) / DEEP, each = (steps + parts - 1) / parts;
  int first = part * each, last = min(first + each, steps);
  auto fetch = [&](int step) {
    if (step < last) {
#pragma unroll
      for (int i = threadIdx.x; i < LINES * DEEP; i += THREADS) {
        int line = i / DEEP, chunk = step * DEEP + i % DEEP;
        bool of_a = line < TILE;
        int from = of_a ? row0 + line : column0 + line - TILE;
        bool inside = chunk < chunks && from < (of_a ? M : N);
        mg_copy16_or_zero(&ring[step % STAGES * LINES * DEEP + place(line, i % DEEP)],
                          (of_a ? a : b) + (size_t)from * chunks + chunk, inside);
      }
    }
    mg_commit();  // an empty group too, so that the groups count the steps
  };

  float sum[WARP_TILE / 16][WARP_TILE / 8][4] = {};
  for (int i = 0; i < STAGES - 1; i++) fetch(first + i);
  for (int step = first; step < last; step++) {
    mg_wait<STAGES - 2>();
    __syncthreads();  // the tile is here, also what others copied; and all have read the last one
    fetch(step + STAGES - 1);
    const uint4* tile = ring + step % STAGES * LINES * DEEP;
#pragma unroll
    for (int chunk = 0; chunk < DEEP; chunk += 2) {  // 32 bytes of each line: one mma deep
      unsigned a_now[WARP_TILE / 16][4], b_now[WARP_TILE / 16][4];
#pragma unroll
      for (int i = 0; i < WARP_TILE / 16; i++)
        mg_ldmatrix_x4(a_now[i], tile + place(row + i * 16 + lane % 16, chunk + lane / 16));
#pragma unroll
      for (int j = 0; j < WARP_TILE / 16; j++)
        mg_ldmatrix_x4(b_now[j], tile + place(TILE + column + j * 16 + lane / 16 * 8 + lane % 8,
                                              chunk + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < WARP_TILE / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_TILE / 8; j++) MMA(sum[i][j], a_now[i], b_now[j / 2] + j % 2 * 2);
    }
  }

#pragma unroll
  for (int i = 0; i < WARP_TILE / 16; i++)
#pragma unroll
    for (int j = 0; j < WARP_TILE / 8; j++)
#pragma unroll
      for (int c = 0; c < 4; c++) {
        int m = row0 + row + i * 16 + lane / 4 + c / 2 * 8;
        int n = column0 + column + j * 8 + lane % 4 * 2 + c % 2;
        if (m < M && n < N) y[(size_t)m * N + n] = sum[i][j][c] + (bias ? bias[n] : 0);
      }
}
