// Kernels that take eight arrays, of which each block has a piece of one: kernels/adamw/many.py.
//
//   int chunk = blockIdx.x;
//   MG_FOR_EIGHT(TRY)        TRY(0) ... TRY(7)
//
// where TRY(k) does the work and returns if chunk is one of array k's, and else counts its chunks off.
#pragma once
#include "mg.cuh"

#define MG_CHUNK 1024
#define MG_FOR_EIGHT(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)

__device__ inline int mg_chunks(long long n) { return int((n + MG_CHUNK - 1) / MG_CHUNK); }

// The numbers of a chunk, MG_CHUNK / blockDim.x for each thread, neighbours to neighbours.
#define MG_FOR_CHUNK(i, chunk, n)                                                                         \
  for (long long i = (long long)(chunk) * MG_CHUNK + threadIdx.x, mg_last = (chunk + 1ll) * MG_CHUNK;     \
       i < n && i < mg_last; i += blockDim.x)
