// y = gelu(x) and its gradient, exact or with TANH by tanh; packs and threads as in silu.
//
//   exact    y = x Phi(x)                              dy/dx = Phi(x) + x phi(x)
//   by tanh  y = x s, s = sigmoid(x (a + b x^2))       dy/dx = s + x s (1 - s) (a + 3 b x^2)
#include "elements.cuh"

#ifndef TANH
#define TANH 0
#endif
#define A 1.5957691216f             // 2 sqrt(2 / pi)
#define B (A * 0.044715f)
#define DENSITY 0.3989422804f       // 1 / sqrt(2 pi), of N(0, 1) at 0
#define ROOT_OF_HALF 0.7071067812f

static __device__ inline float phi(float x) { return DENSITY * expf(-0.5f * x * x); }
static __device__ inline float Phi(float x) { return 0.5f * erfcf(-ROOT_OF_HALF * x); }

static __device__ inline float gelu(float x) {
  return TANH ? x * sigmoid(x * (A + B * x * x)) : x * Phi(x);
}

static __device__ inline float gelu_slope(float x) {
  if (!TANH) return Phi(x) + x * phi(x);
  float s = sigmoid(x * (A + B * x * x));
  return s + x * s * (1 - s) * (A + 3 * B * x * x);
}

extern "C" __global__ void forward(const float* __restrict__ x, float* y, long long n) {
  long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = thread; i < n / VECTOR; i += threads) {
    Pack a = load(x + i * VECTOR);
    for (int v = 0; v < VECTOR; v++) a.v[v] = gelu(a.v[v]);
    store(y + i * VECTOR, a);
  }
  long long rest = n / VECTOR * VECTOR + thread;
  if (rest < n) y[rest] = gelu(x[rest]);
}

extern "C" __global__ void backward(const float* __restrict__ g, const float* __restrict__ x,
                                    float* gx, long long n) {
  long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = thread; i < n / VECTOR; i += threads) {
    Pack a = load(x + i * VECTOR), b = load(g + i * VECTOR);
    for (int v = 0; v < VECTOR; v++) a.v[v] = b.v[v] * gelu_slope(a.v[v]);
    store(gx + i * VECTOR, a);
  }
  long long rest = n / VECTOR * VECTOR + thread;
  if (rest < n) gx[rest] = g[rest] * gelu_slope(x[rest]);
}
