/* Operators of CANN that a mixture of experts is made of; sums are float32. */
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "aclnn.h"

namespace emulated {
namespace {

/* Rows `first` to `last` of the product of two matrices. */
void multiply(const Tensor &left, const std::vector<float> &right, int64_t first, int64_t last, const Tensor &out) {
  const int64_t inner = left.shape[1], columns = out.shape[1];
  for (int64_t row = first; row < last; row++)
    for (int64_t column = 0; column < columns; column++) {
      float sum = 0;
      for (int64_t i = 0; i < inner; i++)
        sum += static_cast<float>(left.get(row * inner + i)) * right[i * columns + column];
      out.set(row * columns + column, sum);
    }
}

void sum_rows(const Tensor &in, const Tensor &out) {
  const int64_t width = in.shape.back();
  for (int64_t row = 0; row < out.size(); row++) {
    float sum = 0;
    for (int64_t i = 0; i < width; i++) sum += static_cast<float>(in.get(row * width + i));
    out.set(row, sum);
  }
}

/* The largest first, and of equals the first. */
void top_k(const Tensor &in, int64_t k, const Tensor &values, const Tensor &indices) {
  const int64_t width = in.shape.back();
  std::vector<int64_t> order(width);
  for (int64_t row = 0; row < in.size() / width; row++) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return in.get(row * width + a) > in.get(row * width + b); });
    for (int64_t i = 0; i < k; i++) {
      values.set(row * k + i, in.get(row * width + order[i]));
      indices.set(row * k + i, static_cast<double>(order[i]));
    }
  }
}

/* Copy each token, [tokens, width], once for each of its experts, [tokens, k], and sort the copies by expert.
 * `row_of` gets the row of each of `experts`, `counts` the rows of each expert. */
void route(const Tensor &tokens, const Tensor &experts, const Tensor &copies, const Tensor &row_of,
           const Tensor &counts) {
  const int64_t width = tokens.shape[1], k = experts.shape[1];
  for (int64_t i = 0; i < counts.size(); i++) counts.set(i, 0);
  std::vector<int64_t> order(experts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return experts.get(a) < experts.get(b); });
  for (int64_t row = 0; row < experts.size(); row++) {
    const auto expert = static_cast<int64_t>(experts.get(order[row]));
    row_of.set(order[row], static_cast<double>(row));
    counts.set(expert, counts.get(expert) + 1);
    for (int64_t i = 0; i < width; i++) copies.set(row * width + i, tokens.get(order[row] / k * width + i));
  }
}

/* Add the rows of each token's experts, each with its weight, [tokens, k]. */
void combine(const Tensor &rows, const Tensor &row_of, const Tensor &weights, const Tensor &out) {
  const int64_t width = rows.shape[1], k = weights.shape[1];
  for (int64_t token = 0; token < weights.shape[0]; token++)
    for (int64_t i = 0; i < width; i++) {
      float sum = 0;
      for (int64_t j = token * k; j < (token + 1) * k; j++) {
        const auto row = static_cast<int64_t>(row_of.get(j));
        sum += static_cast<float>(weights.get(j)) * static_cast<float>(rows.get(row * width + i));
      }
      out.set(token * width + i, sum);
    }
}

/* Multiply each expert's rows, as many as `counts` says, with the expert's matrix, [experts, inner, columns]. */
void multiply_groups(const Tensor &rows, const Tensor &matrices, const Tensor &counts, const Tensor &out) {
  const std::vector<float> all = values(matrices);
  const int64_t size = matrices.shape[1] * matrices.shape[2];
  int64_t first = 0;
  for (int64_t expert = 0; expert < counts.size(); expert++) {
    const int64_t last = first + static_cast<int64_t>(counts.get(expert));
    multiply(rows, {&all[expert * size], &all[expert * size] + size}, first, last, out);
    first = last;
  }
}

void last_dimension_only(const Tensor &tensor, int64_t dimension) {
  const auto rank = static_cast<int64_t>(tensor.shape.size());
  if (dimension != -1 && dimension != rank - 1) throw std::runtime_error("not along the last dimension");
}

}  // namespace
}  // namespace emulated

using namespace emulated;

ACLNN(aclnnMm, aclTensor *left, aclTensor *right, aclTensor *out, int8_t) {
  return prepare(workspace, executor,
                 [=, a = left->value, b = right->value, c = out->value] { multiply(a, values(b), 0, a.shape[0], c); });
}
ACLNN(aclnnReduceSum, aclTensor *in, aclIntArray *dimensions, bool, int, aclTensor *out) {
  return prepare(workspace, executor, [=, from = in->value, to = out->value, along = dimensions->values] {
    if (along.size() != 1) throw std::runtime_error("along other than one dimension");
    last_dimension_only(from, along[0]);
    sum_rows(from, to);
  });
}
ACLNN(aclnnIndexSelect, aclTensor *in, int64_t dimension, aclTensor *index, aclTensor *out) {
  return prepare(workspace, executor, [=, from = in->value, at = index->value, to = out->value] {
    if (dimension != 0) throw std::runtime_error("other than of rows");
    const int64_t width = from.size() / from.shape[0];
    for (int64_t i = 0; i < to.size(); i++) {
      const auto row = static_cast<int64_t>(at.get(i / width));
      if (row < 0 || row >= from.shape[0]) throw std::runtime_error("no row " + std::to_string(row));
      to.set(i, from.get(row * width + i % width));
    }
  });
}
ACLNN(aclnnTopk, aclTensor *in, int64_t k, int64_t dimension, bool largest, bool, aclTensor *out, aclTensor *indices) {
  return prepare(workspace, executor, [=, from = in->value, v = out->value, i = indices->value] {
    last_dimension_only(from, dimension);
    if (!largest) throw std::runtime_error("of the smallest");
    top_k(from, k, v, i);
  });
}
ACLNN(aclnnMoeInitRoutingV2, aclTensor *tokens, aclTensor *experts, int64_t active, int64_t capacity, int64_t,
      int64_t drop, int64_t count, bool, aclTensor *copies, aclTensor *row_of, aclTensor *counts, aclTensor *) {
  return prepare(workspace, executor,
                 [=, t = tokens->value, e = experts->value, c = copies->value, r = row_of->value, n = counts->value] {
                   if (active || capacity || drop || count != 2)
                     throw std::runtime_error("tokens are dropped, or not counted");
                   route(t, e, c, r, n);
                 });
}
ACLNN(aclnnGroupedMatmulV4, aclTensorList *rows, aclTensorList *matrices, aclTensorList *bias, aclTensorList *scale,
      aclTensorList *offset, aclTensorList *antiquant_scale, aclTensorList *antiquant_offset,
      aclTensorList *token_scale, aclTensor *counts, aclTensorList *, aclTensorList *, aclTensorList *, int64_t split,
      int64_t group, int64_t list, int64_t activation, aclTensorList *out, aclTensorList *, aclTensorList *) {
  bool plain = split == 3 && group == 0 && list == 1 && activation == 0;
  for (const aclTensorList *added : {bias, scale, offset, antiquant_scale, antiquant_offset, token_scale})
    plain = plain && (!added || added->tensors.empty());
  return prepare(workspace, executor,
                 [plain, a = rows->tensors.at(0)->value, b = matrices->tensors.at(0)->value, n = counts->value,
                  c = out->tensors.at(0)->value] {
                   if (!plain) throw std::runtime_error("other than products of counted rows alone");
                   multiply_groups(a, b, n, c);
                 });
}
ACLNN(aclnnMoeTokenUnpermute, aclTensor *rows, aclTensor *row_of, aclTensor *weights, bool padded, aclIntArray *,
      aclTensor *out) {
  return prepare(workspace, executor, [=, a = rows->value, r = row_of->value, w = weights->value, c = out->value] {
    if (padded) throw std::runtime_error("padded");
    combine(a, r, w, c);
  });
}
