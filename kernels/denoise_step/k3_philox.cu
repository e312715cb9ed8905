// A sampler's step that draws its noise itself. A call of Philox gives four numbers, so a thread has
// four neighbours of the picture.
#include "philox.h"
#include "row.h"

extern "C" __global__ void denoise_step(const float* prediction, bool is_guided, float* x, float* x0_hat,
                                        const unsigned* seed, const float* table, const int* step,
                                        long long n) {
  size_t quad = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  Row row = ((const Row*)table)[*step];
  float4 four = {0, 0, 0, 0};
  if (seed)  // stream 0 is the noise that the loop starts from
    four = philox_normals(quad, 1 + *step, make_uint2(seed[0], seed[1]));
  float noise[4] = {four.x, four.y, four.z, four.w};
  for (int j = 0; j < 4; j++) {
    size_t i = 4 * quad + j;
    if (i >= n) return;
    float p = prediction[i];
    if (is_guided) p = row.guided(p, prediction[n + i]);
    float guess = row.guess(x[i], p);
    float next = row.next_x * x[i] + row.next_guess * guess + row.next_noise * noise[j];
    if (row.next_last != 0) next += row.next_last * x0_hat[i];
    x[i] = next;
    x0_hat[i] = guess;
  }
}
