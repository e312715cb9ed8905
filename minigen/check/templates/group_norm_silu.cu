// A thread for each image and group. x and y (N, P, C) with P pixels, weight and bias (C).
//
// The next two lines say how it is launched, in terms of its own sizes:
// grid: blocks(N * G, 64)
// block: 64
#include "mg.cuh"

extern "C" __global__ void group_norm_silu(const float* x, const float* weight, const float* bias,
                                           float* y, int N, int P, int C, int G, float eps) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= N * G) return;
  int n = i / G, size = C / G, first = i % G * size;  // the group's channels start at `first`
  x += n * P * C, y += n * P * C;
  float mean = 0, var = 0;
  for (int p = 0; p < P; p++)
    for (int c = first; c < first + size; c++) mean += x[p * C + c];
  mean /= P * size;
  for (int p = 0; p < P; p++)
    for (int c = first; c < first + size; c++) var += (x[p * C + c] - mean) * (x[p * C + c] - mean);
  var /= P * size;
  for (int p = 0; p < P; p++)
    for (int c = first; c < first + size; c++) {
      float z = (x[p * C + c] - mean) / sqrtf(var + eps) * weight[c] + bias[c];
      y[p * C + c] = z / (1 + expf(-z));
    }
}
