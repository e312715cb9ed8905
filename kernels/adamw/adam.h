// AdamW for one number of a parameter.
#pragma once
#include "mg.cuh"

struct Adam {
  float decay, rise1, beta2, rise2, root, eps, step;  // see numbers() in k1_each.py

  __device__ void update(float& p, float g, float& m, float& v) const {
    m += (g - m) * rise1;
    v = v * beta2 + g * g * rise2;
    p = p * decay - step * (m / (sqrtf(v) * root + eps));
  }
};
