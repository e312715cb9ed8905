// What every kernel includes first. By NVRTC or nvcc it is CUDA; by g++ it is CUDA on the CPU.
#pragma once
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#ifndef INFINITY  // NVRTC has no <math.h>
#define INFINITY __int_as_float(0x7f800000)
#endif
#define MG_DYNAMIC_SHARED(T, name)                                 \
  extern __shared__ __align__(16) unsigned char mg_dynamic[];      \
  T* name = (T*)mg_dynamic
#else
#include "cuda_cpu.h"
#endif
