// What the kernels of attention share.
#pragma once
#include "mg.cuh"

#define LOWEST -3.402823466e38f  // of all finite numbers: exp(-INFINITY - LOWEST) is 0, not NaN

// Whether query i may look at key j. The mask is that of the head: a row for each query, mask_query
// numbers apart, or one row for all queries (mask_query = 0), or none at all.
static __device__ inline bool sees(const bool* mask, int mask_query, int is_causal, int i, int j) {
  return (!is_causal || j <= i) && (!mask || mask[(size_t)i * mask_query + j]);
}
