// The product of two matrices on the tensor cores, for kernels that say themselves where the numbers
// come from: a block of 128 threads makes TILE x TILE numbers of it, each of its four warps a quarter.
//
//   MG_DYNAMIC_SHARED(uint4, ring);            RING chunks
//   Sums sums = {};
//   multiply<ALONG>(ring, steps, copy_a, copy_b, sums);
//   each(sums, [&](int row, int column, float sum) { ... });
//
// The numbers come rounded (matmul/k6_mma.py), in chunks of 16 bytes: 8 numbers, or 4 of tf32. The sum
// goes in steps; for each, a and b have TILE x 4 chunks in shared memory, in lines:
//
//   ALONG    a line is a row of a, or a column of b: 4 chunks of terms of the sum
//   ACROSS   a line is a term, 32 of them: TILE / 8 chunks of rows of a, or columns of b; 16 bits only
//
// copy_a(to, copy, step) starts the copy of one chunk to shared memory: chunk chunk_of() of line
// line_of(copy); a thread has COPIES in each step. copy_b does the same for b.
#pragma once
#include "mg_ptx.h"

#ifndef MMA  // the instruction: of half, bfloat16 or tf32
#define MMA mg_mma_f16
#endif
#ifndef WARP_TILE  // rows and columns for a warp
#define WARP_TILE 64
#endif
#define THREADS 128
#define TILE (2 * WARP_TILE)
#define DEEP 4                           // chunks of terms in a step, as ALONG has them
#define STAGES 4                         // steps in shared memory: one is read, others on their way
#define STAGE (2 * TILE * DEEP)          // chunks of a step: those of a, then those of b
#define COPIES (TILE * DEEP / THREADS)   // of a thread, for a and for b

typedef float Sums[WARP_TILE / 16][WARP_TILE / 8][4];
enum Lines { ALONG, ACROSS };

template <Lines L>
__device__ __forceinline__ int line_of(int copy) {
  const int chunks = L == ALONG ? DEEP : TILE / 8;
  return threadIdx.x / chunks + copy * (THREADS / chunks);
}
template <Lines L>
__device__ __forceinline__ int chunk_of() {
  return threadIdx.x % (L == ALONG ? DEEP : TILE / 8);
}

// Where a chunk of a line lies. ldmatrix reads the same chunk of eight lines: this puts them into
// eight different parts of 128 bytes, all banks of shared memory.
template <Lines L>
__device__ __forceinline__ int place(int line, int chunk) {
  return L == ALONG ? line * DEEP + (chunk ^ line / 2 % 4) : line * (TILE / 8) + (chunk ^ line % 8);
}

// 16 rows of a, or 16 columns of b, by two chunks of terms: what an mma takes, or two of them.
template <Lines L>
__device__ __forceinline__ void load_a(unsigned* r, const uint4* a, int row, int chunk) {
  int lane = threadIdx.x % 32;
  if (L == ALONG) mg_ldmatrix_x4(r, a + place<L>(row + lane % 16, chunk + lane / 16));
  else
    mg_ldmatrix_x4_trans(
        r, a + place<L>(chunk * 8 + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
}
template <Lines L>
__device__ __forceinline__ void load_b(unsigned* r, const uint4* b, int column, int chunk) {
  int lane = threadIdx.x % 32;
  if (L == ALONG)
    mg_ldmatrix_x4(r, b + place<L>(column + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
  else mg_ldmatrix_x4_trans(r, b + place<L>(chunk * 8 + lane % 16, column / 8 + lane / 16));
}

// The quarter of a warp in the block's tile.
__device__ __forceinline__ int warp_row() { return threadIdx.x / 64 * WARP_TILE; }
__device__ __forceinline__ int warp_column() { return threadIdx.x / 32 % 2 * WARP_TILE; }

template <Lines L, class CopyA, class CopyB>
__device__ __forceinline__ void multiply(uint4* ring, int steps, CopyA copy_a, CopyB copy_b,
                                         Sums& sums) {
  auto fetch = [&](int step) {
    uint4* a = ring + step % STAGES * STAGE;
    if (step < steps) {  // or copies would still be under way at the end
#pragma unroll
      for (int copy = 0; copy < COPIES; copy++) {
        int to = place<L>(line_of<L>(copy), chunk_of<L>());
        copy_a(a + to, copy, step);
        copy_b(a + STAGE / 2 + to, copy, step);
      }
    }
    mg_commit();  // an empty group too, so that the groups count the steps
  };
  for (int step = 0; step < STAGES - 1; step++) fetch(step);
  for (int step = 0; step < steps; step++) {
    mg_wait<STAGES - 2>();
    __syncthreads();  // the step is here, also what others copied; and all have read the last one
    fetch(step + STAGES - 1);
    const uint4 *a = ring + step % STAGES * STAGE, *b = a + STAGE / 2;
#pragma unroll
    for (int chunk = 0; chunk < DEEP; chunk += 2) {
      unsigned a_now[WARP_TILE / 16][4], b_now[WARP_TILE / 16][4];
#pragma unroll
      for (int i = 0; i < WARP_TILE / 16; i++) {
        load_a<L>(a_now[i], a, warp_row() + i * 16, chunk);
        load_b<L>(b_now[i], b, warp_column() + i * 16, chunk);
      }
#pragma unroll
      for (int i = 0; i < WARP_TILE / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_TILE / 8; j++) MMA(sums[i][j], a_now[i], b_now[j / 2] + j % 2 * 2);
    }
  }
}

// give(row, column, sum) for all that the thread has, counted in the block's tile.
template <class Give>
__device__ __forceinline__ void each(const Sums& sums, Give give) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < WARP_TILE / 16; i++)
#pragma unroll
    for (int j = 0; j < WARP_TILE / 8; j++)
#pragma unroll
      for (int d = 0; d < 4; d++)
        give(warp_row() + i * 16 + lane / 4 + d / 2 * 8,
             warp_column() + j * 8 + lane % 4 * 2 + d % 2, sums[i][j][d]);
}
