// A thread for each row. x and y (R, S).
//
// The next two lines say how it is launched, in terms of its own sizes:
// grid: blocks(R, 128)
// block: 128
#include "mg.cuh"

extern "C" __global__ void softmax(const float* x, float* y, int R, int S) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= R) return;
  x += row * S, y += row * S;
  float most = x[0], sum = 0;
  for (int s = 1; s < S; s++) most = fmaxf(most, x[s]);
  for (int s = 0; s < S; s++) sum += expf(x[s] - most);
  for (int s = 0; s < S; s++) y[s] = expf(x[s] - most) / sum;
}
