// gw[i,j,c,o] = sum of x[n, p SH + i - PH, q SW + j - PW, c] g[n,p,q,o]: a thread for each number of gw.
//
// g (N, OH, OW, O), x (N, H, W, C), gw (KH, KW, C, O).
#include "mg.cuh"

extern "C" __global__ void conv2d_weight_grad(const float* g, const float* x, float* gw, int N,
                                              int H, int W, int C, int O, int KH, int KW, int OH,
                                              int OW, int SH, int SW, int PH, int PW) {
  int index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= KH * KW * C * O) return;
  int o = index % O, c = index / O % C, j = index / O / C % KW, i = index / O / C / KW;
  float sum = 0;
  for (int n = 0; n < N; n++)
    for (int p = 0; p < OH; p++)
      for (int q = 0; q < OW; q++) {
        int row = p * SH + i - PH, column = q * SW + j - PW;
        if (row < 0 || row >= H || column < 0 || column >= W) continue;
        sum += x[(((size_t)n * H + row) * W + column) * C + c] *
               g[(((size_t)n * OH + p) * OW + q) * O + o];
      }
  gw[index] = sum;
}
