/* The other internal kernels of a layer of Qwen3. */
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "internal_kernel.h"
#include "norm.h"

namespace emulated {
namespace {

using namespace mindspore::internal;

struct Gather : InternalKernelWith<GatherParam> {
  using InternalKernelWith::InternalKernelWith;
  void compute(const Tensors &in, const Tensors &out) override {
    if (param_.batch_dims || param_.axes != std::vector<int64_t>{0}) throw std::runtime_error("not of rows");
    const int64_t rows = in[0].shape[0], width = in[0].size() / rows;
    for (int64_t i = 0; i < in[1].size(); i++) {
      const auto row = static_cast<int64_t>(in[1].get(i));
      if (row < 0 || row >= rows) throw std::runtime_error("no row " + std::to_string(row));
      for (int64_t j = 0; j < width; j++) out[0].set(i * width + j, in[0].get(row * width + j));
    }
  }
};

struct ApplyRotaryPosEmb : InternalKernelWith<ApplyRotaryPosEmbParam> {
  using InternalKernelWith::InternalKernelWith;

  /* Inputs: query, key, cosines, sines, and the length of each sequence. A prompt's tokens are at 0, 1, ... of the table
   * of all positions; of a decoded token the table has the row. */
  void compute(const Tensors &in, const Tensors &out) override {
    if (param_.cos_format != 2) throw std::runtime_error("cos_format " + std::to_string(param_.cos_format));
    const int64_t tokens = in[0].shape[0];
    std::vector<int64_t> rows;
    for (int64_t sequence = 0; sequence < in[4].size(); sequence++)
      for (int64_t i = 0; i < static_cast<int64_t>(in[4].get(sequence)); i++) rows.push_back(i);
    const bool prompts = static_cast<int64_t>(rows.size()) == tokens;
    if (!prompts && in[2].shape[0] != tokens)
      throw std::runtime_error("neither prompts nor one token of each sequence");
    for (const int i : {0, 1})
      for (int64_t token = 0; token < tokens; token++)
        rotate(in[i], token, in[2], in[3], prompts ? rows[token] : token, out[i]);
  }

 private:
  static void rotate(const Tensor &in, int64_t token, const Tensor &cosines, const Tensor &sines, int64_t row,
                     const Tensor &out) {
    const int64_t width = cosines.shape[1], half = width / 2, start = token * in.shape[1];
    for (int64_t i = 0; i < in.shape[1]; i++) {
      const int64_t at = i % width;
      const double other = at < half ? -in.get(start + i + half) : in.get(start + i - half);
      out.set(start + i, in.get(start + i) * cosines.get(row * width + at) + other * sines.get(row * width + at));
    }
  }
};

struct AddRmsNorm : InternalKernelWith<NormParam> {
  using InternalKernelWith::InternalKernelWith;

  /* Outputs: the normalized sum of the first two inputs, the reciprocal of its root mean square, and the sum, of which
   * the rounded values are normalized. */
  void compute(const Tensors &in, const Tensors &out) override {
    for (int64_t i = 0; i < in[0].size(); i++) out[2].set(i, in[0].get(i) + in[1].get(i));
    rms_norm(out[2], in[2], param_.eps, out[0], out[1]);
  }
};

struct SwiGlu : InternalKernelWith<SwiGLUParam> {
  using InternalKernelWith::InternalKernelWith;
  void compute(const Tensors &in, const Tensors &out) override {
    if (param_.with_dyn_quant) throw std::runtime_error("quantized");
    const int64_t width = out[0].shape.back();
    if (in[0].shape.back() != 2 * width) throw std::runtime_error("not along the last dimension");
    for (int64_t i = 0; i < out[0].size(); i++) {
      const int64_t gate = i / width * 2 * width + i % width;
      const double x = in[0].get(gate);
      out[0].set(i, x / (1 + std::exp(-x)) * in[0].get(gate + width));
    }
  }
};

struct Softmax : InternalKernelWith<SoftmaxParam> {
  using InternalKernelWith::InternalKernelWith;
  void compute(const Tensors &in, const Tensors &out) override {
    const int64_t last = static_cast<int64_t>(in[0].shape.size()) - 1, width = in[0].shape.back();
    if (param_.axes != std::vector<int64_t>{-1} && param_.axes != std::vector<int64_t>{last})
      throw std::runtime_error("not along the last dimension");
    const std::vector<float> scores = values(in[0]);
    for (int64_t row = 0; row < in[0].size() / width; row++) {
      const float *first = &scores[row * width], largest = *std::max_element(first, first + width);
      float sum = 0;
      for (int64_t i = 0; i < width; i++) sum += std::exp(first[i] - largest);
      for (int64_t i = 0; i < width; i++) out[0].set(row * width + i, std::exp(first[i] - largest) / sum);
    }
  }
};

}  // namespace
}  // namespace emulated

FACTORY_WITH(CreateGatherOp, GatherParam, Gather)
FACTORY_WITH(CreateApplyRotaryPosEmbOp, ApplyRotaryPosEmbParam, ApplyRotaryPosEmb)
FACTORY_WITH(CreateAddRmsNormOp, NormParam, AddRmsNorm)
FACTORY_WITH(CreateSwiGLUOp, SwiGLUParam, SwiGlu)
FACTORY_WITH(CreateSoftmaxOp, SoftmaxParam, Softmax)
