// The length of all gradients together: each block adds the squares of a chunk, then one block adds what
// the blocks found. Who adds what to what depends on no clock, so the sum has the same bits every time.
#include "many.h"

#define THREADS 256

// The sum over the threads of a block, for thread 0: halves are added to halves.
template <class T>
__device__ T sum_of_block(T value) {
  __shared__ T of_thread[THREADS];
  of_thread[threadIdx.x] = value;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) of_thread[threadIdx.x] += of_thread[threadIdx.x + half];
  }
  return threadIdx.x == 0 ? of_thread[0] : T(0);
}

__device__ inline float square(const float* g, long long n, int chunk) {
  float sum = 0;
  MG_FOR_CHUNK(i, chunk, n) sum += g[i] * g[i];
  return sum;
}

#define TRY(k)                                                                          \
  if (chunk >= 0 && chunk < mg_chunks(n##k)) of_thread = square(g##k, n##k, chunk);     \
  chunk -= mg_chunks(n##k);

// partial[block] = the sum of squares of a chunk; up to eight gradients in one launch.
extern "C" __global__ void squares(
    const float* g0, long long n0,
    const float* g1, long long n1,
    const float* g2, long long n2,
    const float* g3, long long n3,
    const float* g4, long long n4,
    const float* g5, long long n5,
    const float* g6, long long n6,
    const float* g7, long long n7,
    float* partial) {
  int chunk = blockIdx.x;
  float of_thread = 0;
  MG_FOR_EIGHT(TRY)
  float sum = sum_of_block(of_thread);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// result = the length, and what to multiply by so that it is max_norm at most; one block.
extern "C" __global__ void total(const float* partial, int n, float max_norm, float* result) {
  double of_thread = 0;  // of large networks there are many chunks, and a float adds few of them well
  for (int i = threadIdx.x; i < n; i += THREADS) of_thread += partial[i];
  float norm = float(sqrt(sum_of_block(of_thread)));
  if (threadIdx.x) return;
  bool is_long = norm > max_norm && norm < INFINITY;  // a length that is no number shortens nothing
  result[0] = norm;
  result[1] = is_long ? max_norm / norm : 1.f;
}

__device__ inline void multiply(float* y, const float* g, long long n, int chunk, float factor) {
  MG_FOR_CHUNK(i, chunk, n) y[i] = factor * g[i];
}

#define TRY_TO_SHORTEN(k)                                                         \
  if (chunk < mg_chunks(n##k)) return multiply(y##k, g##k, n##k, chunk, *factor); \
  chunk -= mg_chunks(n##k);

extern "C" __global__ void shorten(
    float* y0, const float* g0, long long n0,
    float* y1, const float* g1, long long n1,
    float* y2, const float* g2, long long n2,
    float* y3, const float* g3, long long n3,
    float* y4, const float* g4, long long n4,
    float* y5, const float* g5, long long n5,
    float* y6, const float* g6, long long n6,
    float* y7, const float* g7, long long n7,
    const float* factor) {
  int chunk = blockIdx.x;
  MG_FOR_EIGHT(TRY_TO_SHORTEN)
}
