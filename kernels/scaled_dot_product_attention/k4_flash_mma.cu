// y = softmax(scale q k^T) v on the tensor cores: a block for 64 queries of a head, 16 for each warp;
// tiles of keys and values come into shared memory while the tile before is worked on.
//
// q (B, L, WIDTH), k and v (B, S, WIDTH), as pack() makes them: 16-bit numbers, zeros in the columns
// that are too many, WIDTH a multiple of 16, 8 numbers in a uint4. y (B, L, DV), top, share and dot
// (B, L) and all sums are float.
//
// A 16 x 8 piece of scores lies in a warp as mma leaves it: a lane has rows lane / 4 and 8 further, of
// them columns 2 (lane % 4) and the next. Just so mma wants its left factor, so that the weights go
// from one product into the next and never leave the registers.
#include "attention.cuh"
#include "mg_ptx.h"

#ifndef PAIR  // two numbers, what rounds to them, and what multiplies them
#define PAIR __half2
#define ROUND __floats2half2_rn
#define MMA mg_mma_f16
#endif
#ifndef WIDTH
#define WIDTH 64  // of a row
#define TILE 64   // rows of a tile
#endif

#define THREADS 128
#define OWN 64             // rows of a block: queries, or on the way back keys
#define CHUNKS (WIDTH / 8)  // of 8 numbers, in a row
typedef uint4 Row[CHUNKS + 1];        // one more puts the same chunk of 8 rows into different banks
typedef float Scores[TILE / 8][4];    // 16 rows of the warp's own x TILE rows of a tile
typedef float Channels[CHUNKS][4];    // 16 rows x WIDTH

static __device__ inline unsigned pair(float x, float y) {
  PAIR two = ROUND(x, y);
  return *(unsigned*)&two;
}

// x (rows, D) -> (rows, WIDTH), rounded, two numbers for each thread.
extern "C" __global__ void pack(const float* x, unsigned* packed, long long rows, int D) {
  size_t n = (size_t)blockIdx.x * blockDim.x + threadIdx.x, row = n / (WIDTH / 2);
  if (row >= rows) return;
  int d = n % (WIDTH / 2) * 2;
  packed[n] = pair(d < D ? x[row * D + d] : 0, d + 1 < D ? x[row * D + d + 1] : 0);
}

// Starts the copy of `count` rows, the first one of which is `first`; zeros beyond the last one.
static __device__ inline void copy(Row* to, const uint4* from, int count, int first, int rows) {
  for (int n = threadIdx.x; n < count * CHUNKS; n += THREADS) {
    int row = n / CHUNKS, chunk = n % CHUNKS;
    mg_copy16_or_zero(&to[row][chunk], from + (size_t)(first + row) * CHUNKS + chunk,
                      first + row < rows);
  }
}

// scores = own tile^T: every row of the warp's 16 times every row of the tile.
static __device__ inline void multiply(Scores& scores, const Row* own, const Row* tile) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < TILE / 8; n++)
    for (int e = 0; e < 4; e++) scores[n][e] = 0;
#pragma unroll
  for (int chunk = 0; chunk < CHUNKS; chunk += 2) {
    unsigned a[4], b[4];
    mg_ldmatrix_x4(a, &own[lane % 16][chunk + lane / 16]);
#pragma unroll
    for (int n = 0; n < TILE / 8; n += 2) {
      mg_ldmatrix_x4(b, &tile[8 * n + lane / 16 * 8 + lane % 8][chunk + lane / 8 % 2]);
      MMA(scores[n], a, b), MMA(scores[n + 1], a, b + 2);
    }
  }
}

// sums += weights tile: of the tile's rows a sum for each of the warp's 16.
static __device__ inline void add(Channels& sums, const Scores& weights, const Row* tile) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < TILE / 8; n += 2) {
    const float *w = weights[n], *w1 = weights[n + 1];
    unsigned a[4] = {pair(w[0], w[1]), pair(w[2], w[3]), pair(w1[0], w1[1]), pair(w1[2], w1[3])}, b[4];
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; chunk += 2) {
      mg_ldmatrix_x4_trans(b, &tile[8 * n + lane % 16][chunk + lane / 16]);
      MMA(sums[chunk], a, b), MMA(sums[chunk + 1], a, b + 2);
    }
  }
}

// Writes 16 rows of sums, of which `rows` exist, in float.
static __device__ inline void store(float* y, const Channels& sums, int rows, int D, const float* times) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int chunk = 0; chunk < CHUNKS; chunk++)
    for (int e = 0; e < 4; e++) {
      int row = lane / 4 + e / 2 * 8, d = 8 * chunk + lane % 4 * 2 + e % 2;
      if (row < rows && d < D) y[(size_t)row * D + d] = sums[chunk][e] * times[e / 2];
    }
}

// f(n, e, row, column) for the scores [n][e] of a lane.
template <class F>
static __device__ inline void each(F f) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < TILE / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) f(n, e, lane / 4 + e / 2 * 8, 8 * n + lane % 4 * 2 + e % 2);
}

// -infinity for the keys that a query may not look at, or that are none; rows are queries.
static __device__ inline void hide(Scores& scores, int query, int key, int L, int S, const bool* mask,
                                   int mask_query, int is_causal) {
  if (!mask && !is_causal && key + TILE <= S) return;
  each([&](int n, int e, int row, int column) {
    int i = query + row, j = key + column;
    bool look = i < L && j < S && sees(mask, mask_query, is_causal, i, j);
    if (!look) scores[n][e] = -INFINITY;
  });
}

// The four lanes that share rows.
static __device__ inline float quad_max(float a) {
  a = fmaxf(a, __shfl_xor_sync(~0u, a, 1));
  return fmaxf(a, __shfl_xor_sync(~0u, a, 2));
}
static __device__ inline float quad_sum(float a) {
  a += __shfl_xor_sync(~0u, a, 1);
  return a + __shfl_xor_sync(~0u, a, 2);
}

struct Forward {
  Row q[OWN], k[2][TILE], v[2][TILE];
};

extern "C" __global__ void __launch_bounds__(THREADS)
attention(const uint4* q, const uint4* k, const uint4* v, float* y, float* top_of, float* share_of,
          int L, int S, int DH, int DV, float scale, const bool* mask, long long mask_head,
          int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(Forward, shared);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (L + OWN - 1) / OWN, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * OWN, own = first + 16 * warp;
  q += (size_t)b * L * CHUNKS, k += (size_t)b * S * CHUNKS, v += (size_t)b * S * CHUNKS;
  mask += b * mask_head;
  int end = is_causal ? min(S, first + OWN) : S;  // of the keys that a query of the block may see
  auto fetch = [&](int tile) {
    if (tile >= end) return;
    copy(shared->k[tile / TILE % 2], k, TILE, tile, S);
    copy(shared->v[tile / TILE % 2], v, TILE, tile, S);
    mg_commit();
  };
  copy(shared->q, q, OWN, first, L);
  fetch(0);

  float top[2] = {LOWEST, LOWEST}, sum[2] = {};
  Channels mean = {};
  for (int tile = 0; tile < end; tile += TILE) {
    mg_wait<0>();
    __syncthreads();  // the tile is here, also what others copied; and all are done with the last one
    fetch(tile + TILE);
    Scores s;
    multiply(s, shared->q + 16 * warp, shared->k[tile / TILE % 2]);
    hide(s, own, tile, L, S, mask, mask_query, is_causal);
    float larger[2] = {-INFINITY, -INFINITY}, shrink[2];  // of the lane's two rows
    each([&](int n, int e, int, int) { larger[e / 2] = fmaxf(larger[e / 2], s[n][e]); });
    for (int half = 0; half < 2; half++) {
      larger[half] = fmaxf(top[half], scale * quad_max(larger[half]));
      shrink[half] = __expf(top[half] - larger[half]);
      top[half] = larger[half], sum[half] *= shrink[half];  // sum: over the columns of this lane
    }
    each([&](int n, int e, int, int) {
      sum[e / 2] += s[n][e] = __expf(scale * s[n][e] - top[e / 2]);
    });
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; chunk++)
      for (int e = 0; e < 4; e++) mean[chunk][e] *= shrink[e / 2];
    add(mean, s, shared->v[tile / TILE % 2]);
  }
  size_t row = (size_t)b * L + own;
  float share[2];
  for (int half = 0; half < 2; half++) {
    int n = lane / 4 + 8 * half;
    float total = quad_sum(sum[half]);
    share[half] = total == 0 ? 0 : 1 / total;
    if (own + n < L && lane % 4 == 0) top_of[row + n] = top[half], share_of[row + n] = share[half];
  }
  store(y + row * DV, mean, L - own, DV, share);
}

struct Backward {
  Row own[2][OWN], a[2][TILE], b[2][TILE];
};

// gq, and dot = g . y for the kernel that follows.
extern "C" __global__ void __launch_bounds__(THREADS)
grad_of_queries(const uint4* g, const uint4* q, const uint4* k, const uint4* v, const float* float_g,
                const float* y, const float* top_of, const float* share_of, float* dot_of, float* gq,
                int L, int S, int DH, int DV, float scale, const bool* mask, long long mask_head,
                int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(Backward, shared);
  Row *own_q = shared->own[0], *own_g = shared->own[1];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (L + OWN - 1) / OWN, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * OWN, own = first + 16 * warp;
  q += (size_t)b * L * CHUNKS, g += (size_t)b * L * CHUNKS;
  k += (size_t)b * S * CHUNKS, v += (size_t)b * S * CHUNKS;
  mask += b * mask_head;
  int end = is_causal ? min(S, first + OWN) : S;
  auto fetch = [&](int tile) {
    if (tile >= end) return;
    copy(shared->a[tile / TILE % 2], k, TILE, tile, S);
    copy(shared->b[tile / TILE % 2], v, TILE, tile, S);
    mg_commit();
  };
  copy(own_q, q, OWN, first, L);
  copy(own_g, g, OWN, first, L);
  fetch(0);

  size_t row = (size_t)b * L + own;
  float top[2] = {}, share[2] = {}, dot[2] = {};
  for (int half = 0; half < 2; half++) {
    int n = lane / 4 + 8 * half;
    if (own + n < L) {
      top[half] = top_of[row + n], share[half] = share_of[row + n];
      for (int d = lane % 4; d < DV; d += 4)
        dot[half] += float_g[(row + n) * DV + d] * y[(row + n) * DV + d];
    }
    dot[half] = quad_sum(dot[half]);
    if (own + n < L && lane % 4 == 0) dot_of[row + n] = dot[half];
  }

  Channels sums = {};
  for (int tile = 0; tile < end; tile += TILE) {
    mg_wait<0>();
    __syncthreads();
    fetch(tile + TILE);
    Scores s, gp;
    multiply(s, own_q + 16 * warp, shared->a[tile / TILE % 2]);
    multiply(gp, own_g + 16 * warp, shared->b[tile / TILE % 2]);
    hide(s, own, tile, L, S, mask, mask_query, is_causal);
    each([&](int n, int e, int, int) {
      float p = __expf(scale * s[n][e] - top[e / 2]) * share[e / 2];
      s[n][e] = p * (gp[n][e] - dot[e / 2]);
    });
    add(sums, s, shared->a[tile / TILE % 2]);
  }
  float times[2] = {scale, scale};
  store(gq + row * DH, sums, L - own, DH, times);
}

// gk and gv: keys and queries change places, so that no two threads add to the same number.
extern "C" __global__ void __launch_bounds__(THREADS)
grad_of_keys(const uint4* g, const uint4* q, const uint4* k, const uint4* v, const float* top_of,
             const float* share_of, const float* dot_of, float* gk, float* gv, int L, int S, int DH,
             int DV, float scale, const bool* mask, long long mask_head, int mask_query,
             int is_causal) {
  MG_DYNAMIC_SHARED(Backward, shared);
  Row *own_k = shared->own[0], *own_v = shared->own[1];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (S + OWN - 1) / OWN, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * OWN, own = first + 16 * warp;
  q += (size_t)b * L * CHUNKS, g += (size_t)b * L * CHUNKS;
  k += (size_t)b * S * CHUNKS, v += (size_t)b * S * CHUNKS;
  top_of += (size_t)b * L, share_of += (size_t)b * L, dot_of += (size_t)b * L;
  mask += b * mask_head;
  auto fetch = [&](int tile) {
    if (tile >= L) return;
    copy(shared->a[tile / TILE % 2], q, TILE, tile, L);
    copy(shared->b[tile / TILE % 2], g, TILE, tile, L);
    mg_commit();
  };
  copy(own_k, k, OWN, first, S);
  copy(own_v, v, OWN, first, S);
  // of the queries that may see a key of the block; one tile at least, or its copies would be left alone
  int begin = is_causal ? min(first, (L - 1) / TILE * TILE) : 0;
  fetch(begin);

  Channels sum_k = {}, sum_v = {};
  for (int tile = begin; tile < L; tile += TILE) {
    mg_wait<0>();
    __syncthreads();
    fetch(tile + TILE);
    Scores s, gp;
    multiply(s, own_k + 16 * warp, shared->a[tile / TILE % 2]);
    multiply(gp, own_v + 16 * warp, shared->b[tile / TILE % 2]);
    each([&](int n, int e, int row, int column) {
      int i = tile + column, j = own + row;
      bool look = i < L && j < S && sees(mask, mask_query, is_causal, i, j);
      s[n][e] = look ? __expf(scale * s[n][e] - top_of[i]) * share_of[i] : 0;
      gp[n][e] = look ? s[n][e] * (gp[n][e] - dot_of[i]) : 0;
    });
    add(sum_v, s, shared->b[tile / TILE % 2]);
    add(sum_k, gp, shared->a[tile / TILE % 2]);
  }
  size_t row = (size_t)b * S + own;
  float times_k[2] = {scale, scale}, times_v[2] = {1, 1};
  store(gk + row * DH, sum_k, S - own, DH, times_k);
  store(gv + row * DV, sum_v, S - own, DV, times_v);
}
