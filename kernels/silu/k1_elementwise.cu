// y = silu(x), and g * silu'(x): a thread takes a pack of VECTOR numbers, then the pack that lies as
// many packs further as there are threads, until none is left.
#include "elements.cuh"

extern "C" __global__ void forward(const float* __restrict__ x, float* y, long long n) {
  long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = thread; i < n / VECTOR; i += threads) {
    Pack a = load(x + i * VECTOR);
    for (int v = 0; v < VECTOR; v++) a.v[v] = silu(a.v[v]);
    store(y + i * VECTOR, a);
  }
  long long rest = n / VECTOR * VECTOR + thread;  // fewer than VECTOR are left
  if (rest < n) y[rest] = silu(x[rest]);
}

extern "C" __global__ void backward(const float* __restrict__ g, const float* __restrict__ x,
                                    float* gx, long long n) {
  long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = thread; i < n / VECTOR; i += threads) {
    Pack a = load(x + i * VECTOR), b = load(g + i * VECTOR);
    for (int v = 0; v < VECTOR; v++) a.v[v] = b.v[v] * silu_slope(a.v[v]);
    store(gx + i * VECTOR, a);
  }
  long long rest = n / VECTOR * VECTOR + thread;
  if (rest < n) gx[rest] = g[rest] * silu_slope(x[rest]);
}
