// A thread for each number of y. x (N, H, W, C), w (KH, KW, C, O), y (N, OH, OW, O), channels last.
//
// The next two lines say how it is launched, in terms of its own sizes:
// grid: blocks(N * OH * OW * O, 128)
// block: 128
#include "mg.cuh"

extern "C" __global__ void conv2d(const float* x, const float* w, float* y, int N, int H, int W,
                                  int C, int KH, int KW, int O, int OH, int OW, int stride,
                                  int padding) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= N * OH * OW * O) return;
  int o = i % O, q = i / O % OW, p = i / (O * OW) % OH, n = i / (O * OW * OH);
  float sum = 0;
  for (int kh = 0; kh < KH; kh++)
    for (int kw = 0; kw < KW; kw++) {
      int h = p * stride + kh - padding, v = q * stride + kw - padding;
      if (h < 0 || h >= H || v < 0 || v >= W) continue;  // outside of the image x is 0
      for (int c = 0; c < C; c++)
        sum += x[((n * H + h) * W + v) * C + c] * w[((kh * KW + kw) * C + c) * O + o];
    }
  y[i] = sum;
}
