/* The objects that an operator of CANN is called with. Opaque to MindSpore: it gets and passes pointers only. */
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tensor.h"

struct aclTensor {
  emulated::Tensor value;
};
struct aclScalar {
  double value;
};
struct aclIntArray {
  std::vector<int64_t> values;
};
struct aclTensorList {
  std::vector<aclTensor *> tensors;
};
struct aclOpExecutor {
  std::function<void()> compute;
};
