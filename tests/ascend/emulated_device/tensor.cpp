#include "tensor.h"

#include <stdexcept>
#include <utility>

namespace emulated {

int64_t count(const Shape &shape) {
  int64_t product = 1;
  for (int64_t length : shape) product *= length;
  return product;
}

std::string text(const Shape &shape) {
  std::string joined;
  for (int64_t length : shape) joined += (joined.empty() ? "" : ", ") + std::to_string(length);
  return "[" + joined + "]";
}

Tensor::Tensor(void *data, Dtype dtype, Shape shape) : data(data), dtype(dtype), shape(std::move(shape)) {
  strides.assign(this->shape.size(), 1);
  for (size_t i = this->shape.size(); i-- > 1;) strides[i - 1] = strides[i] * this->shape[i];
}

int64_t Tensor::place(int64_t flat) const {
  int64_t at = offset;
  for (size_t i = shape.size(); i-- > 0; flat /= shape[i]) at += flat % shape[i] * strides[i];
  return at;
}

Tensor Tensor::broadcast_to(const Shape &wider) const {
  Tensor repeated = *this;
  repeated.shape = wider;
  repeated.strides.assign(wider.size(), 0);
  if (shape.size() > wider.size()) throw std::runtime_error(text(shape) + " does not fit into " + text(wider));
  const size_t added = wider.size() - shape.size();
  for (size_t i = 0; i < shape.size(); i++) {
    if (shape[i] == wider[added + i]) {
      repeated.strides[added + i] = strides[i];
    } else if (shape[i] != 1) {
      throw std::runtime_error(text(shape) + " does not fit into " + text(wider));
    }
  }
  return repeated;
}

std::vector<float> values(const Tensor &tensor) {
  std::vector<float> found(tensor.size());
  for (size_t i = 0; i < found.size(); i++) found[i] = static_cast<float>(tensor.get(i));
  return found;
}

void store(const std::vector<float> &values, const Tensor &tensor) {
  for (size_t i = 0; i < values.size(); i++) tensor.set(i, values[i]);
}

}  // namespace emulated
