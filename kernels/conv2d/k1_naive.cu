// y[n,p,q,o] = sum of x[n, p SH + i - PH, q SW + j - PW, c] w[i,j,c,o]: a thread for each number of y.
//
// x (N, H, W, C), w (KH, KW, C, O), y (N, OH, OW, O).
#include "mg.cuh"

extern "C" __global__ void conv2d(const float* x, const float* w, float* y, int N, int H, int W,
                                  int C, int O, int KH, int KW, int OH, int OW, int SH, int SW,
                                  int PH, int PW) {
  size_t index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= (size_t)N * OH * OW * O) return;
  int o = index % O;  // neighbours in a warp: other outputs of the same pixel
  int pixel = index / O;
  int q = pixel % OW, p = pixel / OW % OH, n = pixel / OW / OH;
  float sum = 0;
  for (int i = 0; i < KH; i++)
    for (int j = 0; j < KW; j++) {
      int row = p * SH + i - PH, column = q * SW + j - PW;
      if (row < 0 || row >= H || column < 0 || column >= W) continue;  // outside of the image x is 0
      const float* from = x + (((size_t)n * H + row) * W + column) * C;
      const float* weights = w + (i * KW + j) * C * O + o;
      for (int c = 0; c < C; c++) sum += from[c] * weights[c * O];
    }
  y[index] = sum;
}
