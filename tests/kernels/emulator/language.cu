// The language, for test_emulator.py: what a kernel may say, and what comes of it.
#include "mg_ptx.h"

__constant__ float weights[4] = {1, 10, 100, 1000};
__device__ int launches = 0;
__device__ float table[2] = {3, 4};

extern "C" __global__ void where(int* y) {
  int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  int threads = blockDim.x * blockDim.y * blockDim.z;
  y[block * threads + thread] = (blockIdx.z * 100 + blockIdx.y * 10 + blockIdx.x) * 1000 + threadIdx.z * 100 +
                                threadIdx.y * 10 + threadIdx.x;
}

extern "C" __global__ void order(int* tickets, int* y) {  // who came first to each of two places
  y[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(tickets, 1);
  __syncthreads();
  y[(gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x] = atomicAdd(tickets + 1, 1);
}

extern "C" __global__ void lanes(const float* x, float* y, int width) {  // y (8, threads)
  int t = threadIdx.x, n = blockDim.x;
  float v = x[t];
  y[0 * n + t] = __shfl_sync(~0u, v, 2, width);
  y[1 * n + t] = __shfl_up_sync(~0u, v, 1, width);
  y[2 * n + t] = __shfl_down_sync(~0u, v, 1, width < 16 ? width : 16);
  y[3 * n + t] = __shfl_xor_sync(~0u, v, 1, width);
  y[4 * n + t] = __ballot_sync(~0u, v > 4);
  y[5 * n + t] = __any_sync(~0u, v == 3);
  y[6 * n + t] = __all_sync(~0u, v >= 0);
  double pair = __shfl_xor_sync(~0u, (double)v, 2);
  y[7 * n + t] = pair;
  if (t < 3) y[7 * n + t] = __shfl_sync(7, v, 1) + __popc(__ballot_sync(7, t != 1));
}

extern "C" __global__ void atomics(int* i, float* f, unsigned* u) {
  int t = threadIdx.x;
  atomicAdd(&i[0], t), atomicMax(&i[1], t), atomicMin(&i[2], -t);
  atomicAdd(&f[0], 0.5f);
  if (t == 3) atomicExch(&u[0], 7u);
  for (unsigned old = u[1], seen; (seen = atomicCAS(&u[1], old, old + 2)) != old;) old = seen;
}

extern "C" __global__ void globals(float* y, int n) {
  MG_DYNAMIC_SHARED(float, tile);
  if (threadIdx.x == 0) launches++;
  tile[threadIdx.x] = weights[threadIdx.x & 3] + table[threadIdx.x & 1] * n;
  __syncthreads();
  y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
  if (threadIdx.x == 0) y[blockDim.x] = launches;
}

extern "C" __global__ void vectors(const float4* x, float* y) {
  float4 v = x[threadIdx.x];
  y[threadIdx.x] = min(v.x, v.y) + max(v.z, v.w) + max(1, 2) + min(3u, 5u);
}

extern "C" __global__ void mathematics(const float* x, float* y) {  // y (6, threads)
  int t = threadIdx.x, n = blockDim.x;
  float v = x[t], sine, cosine;
  sincospif(v, &sine, &cosine);
  y[t] = rsqrtf(v), y[n + t] = __expf(v), y[2 * n + t] = __fdividef(1, v), y[3 * n + t] = sine;
  y[4 * n + t] = fmaf(v, v, 1), y[5 * n + t] = __uint_as_float(__float_as_uint(v));
}

extern "C" __global__ void halves(const float* x, half* h, unsigned short* b, float* y) {
  int t = threadIdx.x;
  h[t] = __float2half(x[t]);
  __nv_bfloat16 rounded = __float2bfloat16(x[t]);
  b[t] = *(unsigned short*)&rounded;
  y[t] = __half2float(h[t]) + __bfloat162float(rounded);
}

extern "C" __global__ void in_place(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }

extern "C" __global__ void says(int n) { printf("thread %d of %d\n", threadIdx.x, n); }
