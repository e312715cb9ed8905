// One mistake in each kernel, for test_emulator.py, which looks for their lines by "// here".
#include "mg_ptx.h"

extern "C" __global__ void divergent(float* y) {
  if (threadIdx.x < 32) {
    __syncthreads();  // here
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

extern "C" __global__ void returned(float* y) {
  if (threadIdx.x == 5) return;
  __syncthreads();  // here
  y[threadIdx.x] = 1;
}

extern "C" __global__ void deadlock(float* y) {
  if (threadIdx.x == 0) __syncthreads();  // here
  else __syncwarp();
  y[threadIdx.x] = 1;
}

extern "C" __global__ void lonely(float* y) {
  if (threadIdx.x == 0) __syncwarp(3);  // here
  else __syncwarp(1u << (threadIdx.x & 31));
  y[threadIdx.x] = 1;
}

extern "C" __global__ void not_the_caller(float* y) {
  __syncwarp(0xfffffffe);  // here
  y[threadIdx.x] = 1;
}

extern "C" __global__ void returned_lane(float* y) {
  if (threadIdx.x == 7) return;
  __syncwarp();  // here
  y[threadIdx.x] = 1;
}

extern "C" __global__ void not_in_mask(float* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffff, y[threadIdx.x], threadIdx.x + 1);  // here
}

extern "C" __global__ void beyond_the_block(float* y) {
  y[threadIdx.x] = __shfl_down_sync(~0u, y[threadIdx.x], 8);  // here
}

extern "C" __global__ void two_lines(float* y) {
  if (threadIdx.x & 1) __syncwarp();  // here
  else __syncwarp();
  y[threadIdx.x] = 1;
}

extern "C" __global__ void odd_address(float* y) {
  __shared__ __align__(16) float tile[64];
  mg_copy16(tile, y + threadIdx.x);  // here
}

extern "C" __global__ void odd_matrix(float* y) {
  __shared__ __align__(16) unsigned short tile[64 * 8 + 8];
  unsigned r[4];
  mg_ldmatrix_x4(r, &tile[threadIdx.x * 8 + 4]);  // here
  y[threadIdx.x] = r[0];
}

extern "C" __global__ void untrue(float* y) {
  assert(threadIdx.x != 9);  // here
  y[threadIdx.x] = 1;
}

extern "C" __global__ void write_beyond(float* y, int by) { y[(int)threadIdx.x + by] = 1; }

extern "C" __global__ void read_beyond(const float* x, float* y, int by) { y[threadIdx.x] = x[(int)threadIdx.x + by]; }

extern "C" __global__ void uninitialised(float* y) {
  __shared__ float tile[64];
  float own[4];
  y[threadIdx.x] = threadIdx.x & 1 ? tile[threadIdx.x] : own[threadIdx.x & 3];
}

extern "C" __global__ void divides(int* y, int by) { y[threadIdx.x] = 5 / by; }

extern "C" __global__ void loops(int* y) {
  while (*(volatile int*)y == 0) {}
}

extern "C" __global__ void copy_beyond(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

extern "C" __global__ void change_beyond(const float* x, float* y) { y[threadIdx.x] *= x[threadIdx.x]; }
