// What the rungs of group_norm_silu share. With SILU 0 they are those of group_norm.
//
// Of a number x in the group with `mean` and `rstd` = 1 / sqrt(var + eps):
//
//   z = (x - mean) * rstd    u = z * weight + bias    y = silu(u)
//
// and of the gradient g of y, with gu = g * silu'(u) and h = gu * weight:
//
//   gx = rstd * (h - mean(h) - z * mean(h * z))    gbias = sum(gu)    gweight = sum(gu * z)
#pragma once
#include "elements.cuh"

#ifndef SILU
#define SILU 1
#endif

static __device__ inline float activation(float u) { return SILU ? silu(u) : u; }
static __device__ inline float activation_slope(float u) { return SILU ? silu_slope(u) : 1; }
