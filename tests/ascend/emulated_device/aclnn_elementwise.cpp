/* Operators of CANN that make each element of the output of one element of each input. */
#include <algorithm>
#include <cmath>

#include "aclnn.h"

namespace emulated {
namespace {

template <typename Function>
int elementwise(uint64_t *workspace, aclOpExecutor **executor, const Tensor &in, const Tensor &out, Function function) {
  return prepare(workspace, executor, [=] {
    const Tensor from = in.broadcast_to(out.shape);
    for (int64_t i = 0; i < out.size(); i++) out.set(i, function(from.get(i)));
  });
}

template <typename Function>
int elementwise(uint64_t *workspace, aclOpExecutor **executor, const Tensor &left, const Tensor &right,
                const Tensor &out, Function function) {
  return prepare(workspace, executor, [=] {
    const Tensor a = left.broadcast_to(out.shape), b = right.broadcast_to(out.shape);
    for (int64_t i = 0; i < out.size(); i++) out.set(i, function(a.get(i), b.get(i)));
  });
}

}  // namespace
}  // namespace emulated

using namespace emulated;

#define UNARY(name, expression)                                                                                        \
  ACLNN(name, aclTensor *in, aclTensor *out) {                                                                         \
    return elementwise(workspace, executor, in->value, out->value, [](double x) { return expression; });               \
  }
#define BINARY(name, expression)                                                                                       \
  ACLNN(name, aclTensor *left, aclTensor *right, aclTensor *out) {                                                     \
    return elementwise(workspace, executor, left->value, right->value, out->value,                                     \
                       [](double x, double y) { return expression; });                                                 \
  }
#define WITH_SCALAR(name, expression)                                                                                  \
  ACLNN(name, aclTensor *left, aclScalar *right, aclTensor *out) {                                                     \
    const double y = right->value;                                                                                     \
    return elementwise(workspace, executor, left->value, out->value, [y](double x) { return expression; });            \
  }

UNARY(aclnnCos, std::cos(x))
UNARY(aclnnSin, std::sin(x))
UNARY(aclnnReciprocal, 1 / x)
BINARY(aclnnMul, x * y)
BINARY(aclnnDiv, x / y)
BINARY(aclnnGtTensor, x > y)
BINARY(aclnnGeTensor, x >= y)
BINARY(aclnnPowTensorTensor, std::pow(x, y))
WITH_SCALAR(aclnnMuls, x * y)
WITH_SCALAR(aclnnDivs, x / y)

ACLNN(aclnnPowScalarTensor, aclScalar *left, aclTensor *right, aclTensor *out) {
  const double x = left->value;
  return elementwise(workspace, executor, right->value, out->value, [x](double y) { return std::pow(x, y); });
}
ACLNN(aclnnAdd, aclTensor *left, aclTensor *right, aclScalar *alpha, aclTensor *out) {
  const double times = alpha->value;
  return elementwise(workspace, executor, left->value, right->value, out->value,
                     [times](double x, double y) { return x + times * y; });
}
ACLNN(aclnnSub, aclTensor *left, aclTensor *right, aclScalar *alpha, aclTensor *out) {
  const double times = alpha->value;
  return elementwise(workspace, executor, left->value, right->value, out->value,
                     [times](double x, double y) { return x - times * y; });
}
ACLNN(aclnnAdds, aclTensor *left, aclScalar *right, aclScalar *alpha, aclTensor *out) {
  const double added = right->value * alpha->value;
  return elementwise(workspace, executor, left->value, out->value, [added](double x) { return x + added; });
}
ACLNN(aclnnSubs, aclTensor *left, aclScalar *right, aclScalar *alpha, aclTensor *out) {
  const double taken = right->value * alpha->value;
  return elementwise(workspace, executor, left->value, out->value, [taken](double x) { return x - taken; });
}
ACLNN(aclnnCast, aclTensor *in, int, aclTensor *out) {
  return elementwise(workspace, executor, in->value, out->value, [](double x) { return x; });
}
ACLNN(aclnnInplaceZero, aclTensor *out) {
  return elementwise(workspace, executor, out->value, out->value, [](double) { return 0.0; });
}
ACLNN(aclnnInplaceCopy, aclTensor *out, aclTensor *in) {
  return elementwise(workspace, executor, in->value, out->value, [](double x) { return x; });
}
ACLNN(aclnnInplaceMaskedFillTensor, aclTensor *out, aclTensor *mask, aclTensor *filling) {
  return prepare(workspace, executor, [to = out->value, where = mask->value, filling = filling->value] {
    const Tensor chosen = where.broadcast_to(to.shape);
    for (int64_t i = 0; i < to.size(); i++)
      if (chosen.get(i) != 0) to.set(i, filling.get(0));
  });
}
ACLNN(aclnnNanToNum, aclTensor *in, float nan, float positive, float negative, aclTensor *out) {
  return elementwise(workspace, executor, in->value, out->value, [=](double x) {
    return std::isnan(x) ? nan : std::isinf(x) ? (x > 0 ? positive : negative) : x;
  });
}
ACLNN(aclnnClamp, aclTensor *in, aclScalar *least, aclScalar *most, aclTensor *out) {
  const double from = least ? least->value : -INFINITY, to = most ? most->value : INFINITY;
  return elementwise(workspace, executor, in->value, out->value,
                     [=](double x) { return std::min(std::max(x, from), to); });
}
