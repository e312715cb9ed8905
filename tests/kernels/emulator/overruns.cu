// What the sanitizers find, for test_emulator.py.
#include "mg.cuh"

extern "C" __global__ void global_write(float* y, int n) {
  y[threadIdx.x + 1] = 1;  // here
}

extern "C" __global__ void global_read(const float* x, float* y, int n) {
  y[threadIdx.x] = x[threadIdx.x + 1];  // here
}

extern "C" __global__ void shared_write(float* y, int n) {
  __shared__ float first[64], second[64];
  second[threadIdx.x] = 0;
  first[threadIdx.x + n] = 1;  // here
  y[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}

extern "C" __global__ void dynamic_read(float* y, int n) {
  MG_DYNAMIC_SHARED(float, tile);
  tile[threadIdx.x] = 1;
  y[threadIdx.x] = tile[threadIdx.x + n];  // here
}

extern "C" __global__ void local_write(float* y, int n) {
  float own[4] = {};
  own[threadIdx.x + n] = 1;  // here
  y[threadIdx.x] = own[n & 3];
}

extern "C" __global__ void overflow(int* y, int n) {
  y[threadIdx.x] = n + 2147483646;  // here
}

extern "C" __global__ void odd_vector(float* y, int n) {
  *(float4*)(y + n) = make_float4(1, 2, 3, 4);  // here
}

extern "C" __global__ void clean(float* y, int n) {
  __shared__ float tile[64];
  tile[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x] + n;
}
