// The largest number of each window, and its gradient, which goes to the first of equals.
#include "pictures.h"

// y, and which place of the window won, counted row by row; -1 where a NaN did: it equals nothing.
extern "C" __global__ void largest(const float* x, float* y, int* winner, int H, int W, int C, int OH,
                                   int OW, int KH, int KW, int SH, int SW, int PH, int PW) {
  Place at;
  if (!place_of(at, OH, OW, C)) return;
  int top = at.h * SH - PH, left = at.w * SW - PW, best = -1;
  float found = -INFINITY;
  for (int h = max(top, 0); h < min(top + KH, H); h++)
    for (int w = max(left, 0); w < min(left + KW, W); w++) {
      float value = x[offset(at.n, h, w, at.c, H, W, C)];
      if (found != found) continue;  // a NaN wins and stays
      if (value > found || value != value || best < 0) {
        found = value;
        best = (h - top) * KW + w - left;
      }
    }
  size_t i = offset(at.n, at.h, at.w, at.c, OH, OW, C);
  y[i] = found;
  winner[i] = found == found ? best : -1;
}

// gx = the sum of the gradients of the windows that a pixel won.
extern "C" __global__ void to_winner(const float* g, const int* winner, float* gx, int H, int W, int C,
                                     int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW) {
  Place at;
  if (!place_of(at, H, W, C)) return;
  Windows down = windows_over(at.h + PH, OH, KH, SH), across = windows_over(at.w + PW, OW, KW, SW);
  float sum = 0;
  for (int p = down.first; p <= down.last; p++)
    for (int q = across.first; q <= across.last; q++) {
      int own = (at.h + PH - p * SH) * KW + at.w + PW - q * SW;  // the place of this pixel in the window
      size_t i = offset(at.n, p, q, at.c, OH, OW, C);
      if (winner[i] == own) sum += g[i];
    }
  gx[offset(at.n, at.h, at.w, at.c, H, W, C)] = sum;
}
