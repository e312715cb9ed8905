// Means of windows, and their gradient: each way a thread for each number of the result, which adds up
// what belongs to it. So nothing is written by two threads, and the order of a sum is always the same.
#include "pictures.h"

// y = factor times the sum of each window of x; the padding is left out, because it adds 0.
extern "C" __global__ void gather(const float* x, float* y, int H, int W, int C, int OH, int OW, int KH,
                                  int KW, int SH, int SW, int PH, int PW, float factor) {
  Place at;
  if (!place_of(at, OH, OW, C)) return;
  int top = at.h * SH - PH, left = at.w * SW - PW;
  float sum = 0;
  for (int h = max(top, 0); h < min(top + KH, H); h++)
    for (int w = max(left, 0); w < min(left + KW, W); w++) sum += x[offset(at.n, h, w, at.c, H, W, C)];
  y[offset(at.n, at.h, at.w, at.c, OH, OW, C)] = factor * sum;
}

// gx = factor times the sum of the gradients of all windows that a pixel lies in.
extern "C" __global__ void scatter(const float* g, float* gx, int H, int W, int C, int OH, int OW, int KH,
                                   int KW, int SH, int SW, int PH, int PW, float factor) {
  Place at;
  if (!place_of(at, H, W, C)) return;
  Windows down = windows_over(at.h + PH, OH, KH, SH), across = windows_over(at.w + PW, OW, KW, SW);
  float sum = 0;
  for (int p = down.first; p <= down.last; p++)
    for (int q = across.first; q <= across.last; q++) sum += g[offset(at.n, p, q, at.c, OH, OW, C)];
  gx[offset(at.n, at.h, at.w, at.c, H, W, C)] = factor * sum;
}
