// Channels to pixels and back: wide[n, h r + i, w r + j, c] = deep[n, h, w, c r r + i r + j].
#include "pictures.h"

// Where in deep (N, H, W, C r r) the number of a place in wide (N, H r, W r, C) lies.
__device__ inline size_t in_deep(Place at, int H, int W, int C, int r) {
  int channel = (at.c * r + at.h % r) * r + at.w % r;
  return offset(at.n, at.h / r, at.w / r, channel, H, W, C * r * r);
}

extern "C" __global__ void to_pixels(const float* deep, float* wide, int H, int W, int C, int r) {
  Place at;
  if (!place_of(at, H * r, W * r, C)) return;
  wide[offset(at.n, at.h, at.w, at.c, H * r, W * r, C)] = deep[in_deep(at, H, W, C, r)];
}

extern "C" __global__ void to_channels(const float* wide, float* deep, int H, int W, int C, int r) {
  Place at;
  if (!place_of(at, H * r, W * r, C)) return;
  deep[in_deep(at, H, W, C, r)] = wide[offset(at.n, at.h, at.w, at.c, H * r, W * r, C)];
}
