/* A tensor on the emulated device, whose memory is the host's: a shape and strides over elements of one type. */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dtype.h"

namespace emulated {

using Shape = std::vector<int64_t>;

int64_t count(const Shape &shape);
std::string text(const Shape &shape);

struct Tensor {
  void *data = nullptr;
  Dtype dtype = Dtype::Unknown;
  Shape shape;
  Shape strides;       // in elements
  int64_t offset = 0;  // of the first element, in elements

  Tensor() = default;
  /* A tensor whose elements lie one after the other. */
  Tensor(void *data, Dtype dtype, Shape shape);

  int64_t size() const { return count(shape); }
  /* The element that is `flat`th in the order of the shape. */
  double get(int64_t flat) const { return read(data, place(flat), dtype); }
  void set(int64_t flat, double value) const { write(data, place(flat), dtype, value); }
  int64_t place(int64_t flat) const;

  /* The same elements, repeated along the dimensions that are 1 or absent. */
  Tensor broadcast_to(const Shape &wider) const;
};

/* All elements, in the order of the shape, as float32; and back. */
std::vector<float> values(const Tensor &tensor);
void store(const std::vector<float> &values, const Tensor &tensor);

}  // namespace emulated
