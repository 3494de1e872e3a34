/* Operators of CANN along a dimension. */
#include <algorithm>

#include "aclnn.h"
#include "norm.h"

namespace emulated {
namespace {

/* A tensor seen as [outer][length][inner] around one dimension. */
struct Along {
  int64_t outer = 1, length = 1, inner = 1;

  Along(const Shape &shape, int64_t dimension) {
    const int64_t rank = static_cast<int64_t>(shape.size());
    if (dimension < 0) dimension += rank;
    for (int64_t i = 0; i < rank; i++) (i < dimension ? outer : i == dimension ? length : inner) *= shape[i];
  }
  int64_t flat(int64_t o, int64_t l, int64_t i) const { return (o * length + l) * inner + i; }
};

void concatenate(const std::vector<Tensor> &parts, int64_t dimension, const Tensor &out) {
  const Along whole(out.shape, dimension);
  int64_t start = 0;
  for (const Tensor &part : parts) {
    if (part.size() == 0) continue;
    const Along piece(part.shape, dimension);
    for (int64_t o = 0; o < piece.outer; o++)
      for (int64_t l = 0; l < piece.length; l++)
        for (int64_t i = 0; i < piece.inner; i++) out.set(whole.flat(o, start + l, i), part.get(piece.flat(o, l, i)));
    start += piece.length;
  }
}

void cumulate(const Tensor &in, int64_t dimension, const Tensor &out) {
  const Along along(in.shape, dimension);
  for (int64_t o = 0; o < along.outer; o++)
    for (int64_t i = 0; i < along.inner; i++) {
      double sum = 0;
      for (int64_t l = 0; l < along.length; l++) out.set(along.flat(o, l, i), sum += in.get(along.flat(o, l, i)));
    }
}

/* The first of the largest. */
void arg_max(const Tensor &in, int64_t dimension, const Tensor &out) {
  const Along along(in.shape, dimension);
  for (int64_t o = 0; o < along.outer; o++)
    for (int64_t i = 0; i < along.inner; i++) {
      int64_t best = 0;
      for (int64_t l = 1; l < along.length; l++)
        if (in.get(along.flat(o, l, i)) > in.get(along.flat(o, best, i))) best = l;
      out.set(o * along.inner + i, static_cast<double>(best));
    }
}

double largest(const Tensor &in) {
  double found = in.get(0);
  for (int64_t i = 1; i < in.size(); i++) found = std::max(found, in.get(i));
  return found;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

ACLNN(aclnnCat, aclTensorList *tensors, int64_t dimension, aclTensor *out) {
  std::vector<Tensor> parts;
  for (const aclTensor *tensor : tensors->tensors) parts.push_back(tensor->value);
  return prepare(workspace, executor, [=, to = out->value] { concatenate(parts, dimension, to); });
}
ACLNN(aclnnCumsum, aclTensor *in, int64_t dimension, int, aclTensor *out) {
  return prepare(workspace, executor, [=, from = in->value, to = out->value] { cumulate(from, dimension, to); });
}
ACLNN(aclnnRmsNorm, aclTensor *in, aclTensor *weight, double epsilon, aclTensor *out, aclTensor *reciprocal) {
  return prepare(workspace, executor, [=, x = in->value, w = weight->value, y = out->value, r = reciprocal->value] {
    rms_norm(x, w, epsilon, y, r);
  });
}
ACLNN(aclnnArgMax, aclTensor *in, int64_t dimension, bool, aclTensor *out) {
  return prepare(workspace, executor, [=, from = in->value, to = out->value] { arg_max(from, dimension, to); });
}
ACLNN(aclnnMax, aclTensor *in, aclTensor *out) {
  return prepare(workspace, executor, [=, from = in->value, to = out->value] { to.set(0, largest(from)); });
}
