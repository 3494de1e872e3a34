/* Root mean square normalization, which is an operator of CANN and a part of an internal kernel. */
#pragma once

#include "tensor.h"

namespace emulated {

/* Normalize the rows of `in`; `reciprocal` gets 1 / rms of each. In float32. */
void rms_norm(const Tensor &in, const Tensor &weight, double epsilon, const Tensor &out, const Tensor &reciprocal);

}  // namespace emulated
