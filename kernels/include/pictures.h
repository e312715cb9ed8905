// Kernels over pictures (N, H, W, C), a thread for each number: blockIdx.x is the row of pixels n H + h,
// blockIdx.y the block within the row, whose W C numbers lie next to each other.
//
// So a thread divides by H and by C only, in 32 bits: divisions by what is not known at compile time
// take tens of instructions, in 64 bits over a hundred.
#pragma once
#include "mg.cuh"

struct Place {
  int n, h, w, c;
};

// Where a thread is; false beyond the end of its row.
__device__ inline bool place_of(Place& at, int H, int W, int C) {
  int i = blockIdx.y * blockDim.x + threadIdx.x;
  at = {int(blockIdx.x) / H, int(blockIdx.x) % H, i / C, i % C};
  return i < W * C;
}

__device__ inline size_t offset(int n, int h, int w, int c, int H, int W, int C) {
  return (((size_t)n * H + h) * W + w) * C + c;
}

// Which windows a pixel lies in, along one axis: those with p S <= pixel < p S + K, where `pixel` is
// counted from the padding's edge. There may be none: last < first.
struct Windows {
  int first, last;
};

__device__ inline Windows windows_over(int pixel, int outputs, int K, int S) {
  return {max(0, (pixel - K + S) / S), min(outputs - 1, pixel / S)};
}
