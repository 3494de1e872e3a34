/* An internal kernel of MindSpore that computes on the host. */
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "include/op_creator.h"
#include "tensor.h"

namespace emulated {

using Tensors = std::vector<Tensor>;

Dtype from_internal(mindspore::internal::DataType type);

class InternalKernel : public mindspore::internal::InternalOp {
 public:
  using InternalOp::InternalOp;

  size_t GetTilingSize() const override { return 64; }  // which nobody reads
  std::vector<size_t> GetWorkspaceSize() const override { return {}; }
  std::string DumpTiling(const mindspore::internal::RawHostAddr) const override { return ""; }
  mindspore::internal::OpType GetOpType() override { return mindspore::internal::kOpTypeAICore; }
  /* MindSpore infers shapes by itself. */
  mindspore::internal::ShapeInfoList InferShape(const mindspore::internal::ShapeInfoList &) const override {
    return {};
  }

 protected:
  /* Write the outputs. An input that the caller left out has no data. */
  virtual void compute(const Tensors &inputs, const Tensors &outputs) = 0;

  mindspore::internal::InternalStatus TilingImpl(mindspore::internal::RawHostAddr,
                                                 mindspore::internal::HostRunInfoPtr *run_info) override;
  mindspore::internal::InternalStatus LaunchImpl(const mindspore::internal::InputsAddrList &inputs,
                                                 const mindspore::internal::OutputsAddrList &outputs,
                                                 const mindspore::internal::WsAddrList &, void *) override;
};

/* A kernel with parameters, which MindSpore may renew before each launch. */
template <typename Param>
class InternalKernelWith : public InternalKernel {
 public:
  InternalKernelWith(const mindspore::internal::InputsImmutableInfoList &inputs,
                     const mindspore::internal::OutputsImmutableInfoList &outputs, const Param &param,
                     const std::string &name)
      : InternalKernel(inputs, outputs, name), param_(param) {}

  mindspore::internal::InternalStatus UpdateParam(const void *param) override {
    param_ = *static_cast<const Param *>(param);
    return mindspore::internal::kInternalOk;
  }

 protected:
  Param param_;
};

}  // namespace emulated

/* The function by which MindSpore makes a kernel, in its own namespace. */
#define FACTORY(name, Kernel)                                                                                          \
  namespace mindspore::internal {                                                                                      \
  InternalOpPtr name(const InputsImmutableInfoList &inputs, const OutputsImmutableInfoList &outputs,                   \
                     const std::string &op) {                                                                          \
    return std::make_shared<emulated::Kernel>(inputs, outputs, op);                                                    \
  }                                                                                                                    \
  }
#define FACTORY_WITH(name, Param, Kernel)                                                                              \
  namespace mindspore::internal {                                                                                      \
  InternalOpPtr name(const InputsImmutableInfoList &inputs, const OutputsImmutableInfoList &outputs,                   \
                     const Param &param, const std::string &op) {                                                      \
    return std::make_shared<emulated::Kernel>(inputs, outputs, param, op);                                             \
  }                                                                                                                    \
  }
