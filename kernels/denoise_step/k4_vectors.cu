// A sampler's step that reads and writes four numbers at a time.
#include "philox.h"
#include "row.h"

// One number: what k3 does.
__device__ inline void one(const Row& row, float p, float null_p, bool is_guided, float noise, float& x,
                           float& last) {
  if (is_guided) p = row.guided(p, null_p);
  float guess = row.guess(x, p);
  x = row.next_x * x + row.next_guess * guess + row.next_noise * noise + row.next_last * last;
  last = guess;
}

// The arrays in quads, of which x has n.
extern "C" __global__ void denoise_step(const float4* prediction, bool is_guided, float4* x, float4* x0_hat,
                                        const unsigned* seed, const float* table, const int* step,
                                        long long n) {
  size_t quad = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (quad >= n) return;
  Row row = ((const Row*)table)[*step];
  float4 noise = {0, 0, 0, 0}, last = noise, null_p = noise, p = prediction[quad], now = x[quad];
  if (is_guided) null_p = prediction[n + quad];
  if (row.next_last != 0) last = x0_hat[quad];
  if (seed) noise = philox_normals(quad, 1 + *step, make_uint2(seed[0], seed[1]));
  one(row, p.x, null_p.x, is_guided, noise.x, now.x, last.x);
  one(row, p.y, null_p.y, is_guided, noise.y, now.y, last.y);
  one(row, p.z, null_p.z, is_guided, noise.z, now.z, last.z);
  one(row, p.w, null_p.w, is_guided, noise.w, now.w, last.w);
  x[quad] = now;
  x0_hat[quad] = last;
}
