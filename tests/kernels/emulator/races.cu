// Races and their cures, for test_emulator.py; BARRIER(x) is nothing with -DRACY.
#include "mg_ptx.h"

#ifdef RACY
#define BARRIER(x)
#else
#define BARRIER(x) x
#endif

// What is written is what was there: no order of threads changes the result, and yet it is a race.
extern "C" __global__ void rare(float* y) {
  __shared__ float seen[64];
  seen[threadIdx.x] = 0;
  __syncthreads();
  seen[threadIdx.x] = 0;
  BARRIER(__syncthreads());
  y[threadIdx.x] = seen[63 - threadIdx.x];
}

extern "C" __global__ void neighbours(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  BARRIER(__syncthreads());
  y[threadIdx.x] = tile[threadIdx.x ^ 33];
}

extern "C" __global__ void lanes(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  BARRIER(__syncwarp());
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

extern "C" __global__ void total(const float* x, float* y) {
  BARRIER(atomicAdd(y, x[threadIdx.x]); return);
  y[0] += x[threadIdx.x];
}

// Two halves of a buffer in turns: while one is read, the next numbers come into the other.
extern "C" __global__ void stages(const float4* x, float* y, int n) {
  __shared__ float4 tile[2][64];
  float sum = 0;
  mg_copy16(&tile[0][threadIdx.x], &x[threadIdx.x]);
  mg_commit();
  for (int i = 0; i < n; i++) {
    if (i + 1 < n) mg_copy16(&tile[(i + 1) & 1][threadIdx.x], &x[(i + 1) * 64 + threadIdx.x]);
    mg_commit();
    mg_wait<1>();
    __syncthreads();
    sum += tile[i & 1][63 - threadIdx.x].y;
    BARRIER(__syncthreads());
  }
  y[threadIdx.x] = sum;
}
