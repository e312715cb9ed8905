// gx[n,h,w,c] = sum of g[n,p,q,o] weights[i,j,c,o] over the i, j, p, q with p SH + i - PH = h and
// q SW + j - PW = w: a thread for each number of gx.
//
// g (N, OH, OW, O), weights (KH, KW, C, O), gx (N, H, W, C).
#include "mg.cuh"

extern "C" __global__ void conv2d_input_grad(const float* g, const float* weights, float* gx, int N,
                                             int H, int W, int C, int O, int KH, int KW, int OH,
                                             int OW, int SH, int SW, int PH, int PW) {
  size_t index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= (size_t)N * H * W * C) return;
  int c = index % C;
  int pixel = index / C;
  int w = pixel % W, h = pixel / W % H, n = pixel / W / H;
  float sum = 0;
  for (int i = 0; i < KH; i++)
    for (int j = 0; j < KW; j++) {
      int down = h + PH - i, across = w + PW - j;  // steps from the first output pixel
      if (down < 0 || across < 0 || down % SH || across % SW) continue;
      int p = down / SH, q = across / SW;
      if (p >= OH || q >= OW) continue;
      const float* from = g + (((size_t)n * OH + p) * OW + q) * O;
      const float* to = weights + ((i * KW + j) * C + c) * O;
      for (int o = 0; o < O; o++) sum += from[o] * to[o];
    }
  gx[index] = sum;
}
