#include "norm.h"

#include <cmath>

namespace emulated {

void rms_norm(const Tensor &in, const Tensor &weight, double epsilon, const Tensor &out, const Tensor &reciprocal) {
  const int64_t width = weight.size();
  for (int64_t row = 0; row < in.size() / width; row++) {
    float squares = 0;
    for (int64_t i = 0; i < width; i++) {
      const float x = static_cast<float>(in.get(row * width + i));
      squares += x * x;
    }
    const float scale = 1 / std::sqrt(squares / static_cast<float>(width) + static_cast<float>(epsilon));
    reciprocal.set(row, scale);
    for (int64_t i = 0; i < width; i++) {
      const float x = static_cast<float>(in.get(row * width + i)), w = static_cast<float>(weight.get(i));
      out.set(row * width + i, x * scale * w);
    }
  }
}

}  // namespace emulated
