// What the rungs of group_norm_silu share. With SILU 0 they are those of group_norm.
//
// Of a number x in the group with `mean` and `rstd` = 1 / sqrt(var + eps):
//
//   z = (x - mean) * rstd    u = z * weight + bias    y = silu(u)
//
// and of the gradient g of y, with gu = g * silu'(u) and h = gu * weight:
//
//   gx = rstd * (h - mean(h) - z * mean(h * z))    gbias = sum(gu)    gweight = sum(gu * z)
//
// The kernels' arrays: x, y, g, gx (N, P, C); weight and bias (C), their step 0, or (N, C), their step
// C; stats (2, N, G) mean and rstd; sums (2, N, C) over the pixels, gu and gu * z.
#pragma once
#include "elements.cuh"

#ifndef SILU
#define SILU 1
#endif

static __device__ inline float activation(float u) { return SILU ? silu(u) : u; }
static __device__ inline float activation_slope(float u) { return SILU ? silu_slope(u) : 1; }

// What a thread keeps of the VECTOR channels from c on, of image n.
struct Channels { float mean[VECTOR], rstd[VECTOR], weight[VECTOR], bias[VECTOR]; };

static __device__ inline Channels channels(const float* stats, int N, int groups, int n, int c,
                                           int width, const float* weight, const float* bias) {
  Channels of;
  for (int v = 0; v < VECTOR; v++) {
    size_t group = (size_t)n * groups + (c + v) / width;
    of.mean[v] = stats[group], of.rstd[v] = stats[(size_t)N * groups + group];
    of.weight[v] = weight[c + v], of.bias[v] = bias[c + v];
  }
  return of;
}

static __device__ inline float normed(const Channels& of, int v, float x) {  // z
  return (x - of.mean[v]) * of.rstd[v];
}
static __device__ inline float slope(const Channels& of, int v, float z) {  // dy / du
  return activation_slope(z * of.weight[v] + of.bias[v]);
}
