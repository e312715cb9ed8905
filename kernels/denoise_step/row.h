// A row of the table (table.py) and what a step does with it, for one number of a picture.
#pragma once
#include "mg.cuh"

struct Row {
  float guess_x, guess_p, next_x, next_guess, next_noise, next_last, guidance, clip;

  // The prediction for the condition, and the one without it: classifier-free guidance.
  __device__ float guided(float conditional, float unconditional) const {
    return guidance * conditional + (1.f - guidance) * unconditional;
  }

  // The data, as x and the prediction p have it. A NaN stays one: fminf would hide it.
  __device__ float guess(float x, float p) const {
    float guess = guess_x * x + guess_p * p;
    return guess > clip ? clip : guess < -clip ? -clip : guess;
  }
};
