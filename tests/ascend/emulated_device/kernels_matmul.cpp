/* Internal kernels that multiply matrices: each element of the product is summed in float32 and rounded once. */
#include <stdexcept>

#include "internal_kernel.h"

namespace emulated {
namespace {

using namespace mindspore::internal;

/* Multiply `left`, [rows, inner], with `right`, [inner, columns] or transposed; the columns go to the outputs in turn. */
void multiply(const Tensor &left, bool transposed_left, const Tensor &right, bool transposed_right,
              const Tensors &outputs) {
  const std::vector<float> a = values(left), b = values(right);
  const int64_t rows = left.shape[transposed_left ? 1 : 0], inner = left.shape[transposed_left ? 0 : 1];
  const int64_t columns = right.shape[transposed_right ? 0 : 1];
  if (right.shape[transposed_right ? 1 : 0] != inner)
    throw std::runtime_error("cannot multiply " + text(left.shape) + " with " + text(right.shape));
  int64_t first = 0;
  for (const Tensor &out : outputs) {
    const int64_t width = out.shape.back();
    for (int64_t row = 0; row < rows; row++)
      for (int64_t column = first; column < first + width; column++) {
        float sum = 0;
        for (int64_t i = 0; i < inner; i++)
          sum += a[transposed_left ? i * rows + row : row * inner + i] *
                 b[transposed_right ? column * inner + i : i * columns + column];
        out.set(row * width + column - first, sum);
      }
    first += width;
  }
  if (first != columns) throw std::runtime_error("the outputs have " + std::to_string(first) + " columns");
}

struct MatMul : InternalKernelWith<MatmulParam> {
  using InternalKernelWith::InternalKernelWith;
  void compute(const Tensors &in, const Tensors &out) override {
    const bool fused = param_.enable_dequant || param_.with_relu || param_.with_gelu || param_.with_fastgelu ||
                       param_.with_bias || param_.with_bias_fastgelu || param_.with_sigmoid_add ||
                       param_.enable_shuffle || param_.with_pertoken_scale;
    if (fused) throw std::runtime_error("fused with another operator");
    multiply(in[0], param_.transpose_a, in[1], param_.transpose_b, out);
  }
};

struct MultiWeightMatmul : InternalKernelWith<MultiWeightMatmulParam> {
  using InternalKernelWith::InternalKernelWith;
  void compute(const Tensors &in, const Tensors &out) override {
    if (param_.with_bias || param_.silu_position >= 0) throw std::runtime_error("fused with another operator");
    multiply(in[0], param_.transpose_a, in[1], param_.transpose_b, out);
  }
};

}  // namespace
}  // namespace emulated

FACTORY_WITH(CreateMatmulOp, MatmulParam, MatMul)
FACTORY_WITH(CreateMultiWeightMatmulOp, MultiWeightMatmulParam, MultiWeightMatmul)
