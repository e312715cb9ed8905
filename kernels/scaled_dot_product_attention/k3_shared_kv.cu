// y = softmax(scale q k^T) v: a block for some queries of a head, four for each warp. Keys and values
// come into shared memory in tiles of 32, one key for each lane.
//
// q (B, L, DH), k (B, S, DH), v (B, S, DV), y (B, L, DV); top, share, dot (B, L).
#include "attention.cuh"
#include "elements.cuh"

#ifndef WIDTH
#define WIDTH 64  // a multiple of 32 that DH and DV fit in
#define WARPS 8   // of a block
#endif

#define ROWS (4 * WARPS)  // queries, or on the way back keys, of a block

// A number for each of four rows: what is multiplied with one number of a tile.
struct __align__(16) Four { float of[4]; };

static __device__ inline void add(float* sums, const Four& a, float b) {
  for (int n = 0; n < 4; n++) sums[n] += a.of[n] * b;
}

static __device__ inline float warp_max(float a) {
  for (int other = 16; other; other /= 2) a = fmaxf(a, __shfl_xor_sync(~0u, a, other));
  return a;
}

// Four rows of a warp, side by side; what is beyond the last row is 0.
static __device__ inline void load_four(Four* to, const float* from, int rows, int width) {
  for (int c = threadIdx.x % 32; c < width; c += 32)
    for (int n = 0; n < 4; n++) to[c].of[n] = n < rows ? from[(size_t)n * width + c] : 0;
}

// 32 rows, by the whole block. The odd length of a row lets 32 lanes read a column at once.
typedef float Tile[32][WIDTH + 1];

static __device__ inline void load_tile(Tile& to, const float* from, int rows, int width) {
  for (int row = threadIdx.x / 32; row < 32; row += WARPS)
    for (int c = threadIdx.x % 32; c < width; c += 32)
      to[row][c] = row < rows ? from[(size_t)row * width + c] : 0;
}

struct Forward {
  Four q[WARPS][WIDTH], weights[WARPS][32];
  Tile k, v;
};

extern "C" __global__ void attention(const float* q, const float* k, const float* v, float* y,
                                     float* top_of, float* share_of, int L, int S, int DH, int DV,
                                     float scale, const bool* mask, long long mask_head,
                                     int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(Forward, shared);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (L + ROWS - 1) / ROWS, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * ROWS, own = first + 4 * warp;
  size_t row = (size_t)b * L + own;
  k += (size_t)b * S * DH, v += (size_t)b * S * DV;
  load_four(shared->q[warp], q + row * DH, L - own, DH);
  float top[4] = {LOWEST, LOWEST, LOWEST, LOWEST}, sum[4] = {}, mean[WIDTH / 32][4] = {};

  int end = is_causal ? min(S, first + ROWS) : S;  // of the keys that a query of the block may see
  for (int tile = 0; tile < end; tile += 32) {
    __syncthreads();  // all are done with the tile before
    load_tile(shared->k, k + (size_t)tile * DH, S - tile, DH);
    load_tile(shared->v, v + (size_t)tile * DV, S - tile, DV);
    __syncthreads();
    Four score = {};
    for (int d = 0; d < DH; d++) add(score.of, shared->q[warp][d], shared->k[lane][d]);
    for (int n = 0; n < 4; n++) {
      int i = own + n, j = tile + lane;
      bool look = i < L && j < S && sees(mask + b * mask_head, mask_query, is_causal, i, j);
      float x = look ? scale * score.of[n] : -INFINITY;
      float larger = fmaxf(top[n], warp_max(x)), shrink = expf(top[n] - larger);
      score.of[n] = expf(x - larger);
      sum[n] = sum[n] * shrink + score.of[n], top[n] = larger;  // sum: over the keys of this lane
      for (int part = 0; part < WIDTH / 32; part++) mean[part][n] *= shrink;
    }
    shared->weights[warp][lane] = score;
    __syncwarp();
    for (int j = 0; j < 32; j++)
      for (int part = 0; part < WIDTH / 32; part++)  // a lane has every 32nd channel
        add(mean[part], shared->weights[warp][j], shared->v[j][lane + 32 * part]);
  }
  for (int n = 0; n < 4; n++) {
    float total = warp_sum(sum[n]), share = total == 0 ? 0 : 1 / total;
    if (own + n >= L) continue;
    for (int part = 0; part < WIDTH / 32; part++)
      if (int d = lane + 32 * part; d < DV) y[(row + n) * DV + d] = mean[part][n] * share;
    if (lane == 0) top_of[row + n] = top[n], share_of[row + n] = share;
  }
}

struct ByQueries {
  Four q[WARPS][WIDTH], g[WARPS][WIDTH], gs[WARPS][32];
  Tile k, v;
};

// gq, and dot = g . y for the kernel that follows.
extern "C" __global__ void grad_of_queries(const float* g, const float* q, const float* k, const float* v,
                                           const float* y, const float* top_of, const float* share_of,
                                           float* dot_of, float* gq, int L, int S, int DH, int DV,
                                           float scale, const bool* mask, long long mask_head,
                                           int mask_query, int is_causal) {
  MG_DYNAMIC_SHARED(ByQueries, shared);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (L + ROWS - 1) / ROWS, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * ROWS, own = first + 4 * warp;
  size_t row = (size_t)b * L + own;
  k += (size_t)b * S * DH, v += (size_t)b * S * DV;
  load_four(shared->q[warp], q + row * DH, L - own, DH);
  load_four(shared->g[warp], g + row * DV, L - own, DV);
  float top[4] = {}, share[4] = {}, dot[4] = {}, sum[WIDTH / 32][4] = {};
  for (int n = 0; n < 4; n++) {
    if (own + n >= L) continue;
    top[n] = top_of[row + n], share[n] = share_of[row + n];
    for (int d = lane; d < DV; d += 32) dot[n] += g[(row + n) * DV + d] * y[(row + n) * DV + d];
    dot[n] = warp_sum(dot[n]);
    if (lane == 0) dot_of[row + n] = dot[n];
  }

  int end = is_causal ? min(S, first + ROWS) : S;
  for (int tile = 0; tile < end; tile += 32) {
    __syncthreads();
    load_tile(shared->k, k + (size_t)tile * DH, S - tile, DH);
    load_tile(shared->v, v + (size_t)tile * DV, S - tile, DV);
    __syncthreads();
    Four score = {}, gp = {}, gs;
    for (int d = 0; d < DH; d++) add(score.of, shared->q[warp][d], shared->k[lane][d]);
    for (int d = 0; d < DV; d++) add(gp.of, shared->g[warp][d], shared->v[lane][d]);
    for (int n = 0; n < 4; n++) {
      int i = own + n, j = tile + lane;
      bool look = i < L && j < S && sees(mask + b * mask_head, mask_query, is_causal, i, j);
      float p = look ? expf(scale * score.of[n] - top[n]) * share[n] : 0;
      gs.of[n] = scale * p * (gp.of[n] - dot[n]);
    }
    shared->gs[warp][lane] = gs;
    __syncwarp();
    for (int j = 0; j < 32; j++)
      for (int part = 0; part < WIDTH / 32; part++)
        add(sum[part], shared->gs[warp][j], shared->k[j][lane + 32 * part]);
  }
  for (int n = 0; n < 4; n++)
    for (int part = 0; part < WIDTH / 32; part++)
      if (int d = lane + 32 * part; own + n < L && d < DH) gq[(row + n) * DH + d] = sum[part][n];
}

struct ByKeys {
  Four k[WARPS][WIDTH], v[WARPS][WIDTH], p[WARPS][32], gs[WARPS][32];
  Tile q, g;
};

// gk and gv: keys and queries change places, so that no two threads add to the same number.
extern "C" __global__ void grad_of_keys(const float* g, const float* q, const float* k, const float* v,
                                        const float* top_of, const float* share_of, const float* dot_of,
                                        float* gk, float* gv, int L, int S, int DH, int DV, float scale,
                                        const bool* mask, long long mask_head, int mask_query,
                                        int is_causal) {
  MG_DYNAMIC_SHARED(ByKeys, shared);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int parts = (S + ROWS - 1) / ROWS, b = blockIdx.x / parts;
  int first = blockIdx.x % parts * ROWS, own = first + 4 * warp;
  size_t row = (size_t)b * S + own;
  q += (size_t)b * L * DH, g += (size_t)b * L * DV;
  top_of += (size_t)b * L, share_of += (size_t)b * L, dot_of += (size_t)b * L;
  load_four(shared->k[warp], k + row * DH, S - own, DH);
  load_four(shared->v[warp], v + row * DV, S - own, DV);
  float sum_k[WIDTH / 32][4] = {}, sum_v[WIDTH / 32][4] = {};

  int begin = is_causal ? first : 0;  // of the queries that may see a key of the block
  for (int tile = begin; tile < L; tile += 32) {
    __syncthreads();
    load_tile(shared->q, q + (size_t)tile * DH, L - tile, DH);
    load_tile(shared->g, g + (size_t)tile * DV, L - tile, DV);
    __syncthreads();
    Four score = {}, gp = {}, p = {}, gs = {};
    for (int d = 0; d < DH; d++) add(score.of, shared->k[warp][d], shared->q[lane][d]);
    for (int d = 0; d < DV; d++) add(gp.of, shared->v[warp][d], shared->g[lane][d]);
    for (int n = 0; n < 4; n++) {
      int i = tile + lane, j = own + n;
      if (i >= L || j >= S || !sees(mask + b * mask_head, mask_query, is_causal, i, j)) continue;
      p.of[n] = expf(scale * score.of[n] - top_of[i]) * share_of[i];
      gs.of[n] = scale * p.of[n] * (gp.of[n] - dot_of[i]);
    }
    shared->p[warp][lane] = p, shared->gs[warp][lane] = gs;
    __syncwarp();
    for (int i = 0; i < 32; i++)
      for (int part = 0; part < WIDTH / 32; part++) {
        add(sum_k[part], shared->gs[warp][i], shared->q[i][lane + 32 * part]);
        add(sum_v[part], shared->p[warp][i], shared->g[i][lane + 32 * part]);
      }
  }
  for (int n = 0; n < 4; n++)
    for (int part = 0; part < WIDTH / 32; part++) {
      int d = lane + 32 * part;
      if (own + n < S && d < DH) gk[(row + n) * DH + d] = sum_k[part][n];
      if (own + n < S && d < DV) gv[(row + n) * DV + d] = sum_v[part][n];
    }
}
