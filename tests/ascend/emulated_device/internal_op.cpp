/* The base class of MindSpore's internal kernels, as far as MindSpore calls it.
 *
 * MindSpore ships the class's header and Huawei's own library with its methods; these here take their place, since a
 * library that is loaded first decides. Which dtypes a kernel takes is still asked of Huawei's.
 */
#include "include/internal_op.h"

#include "include/log_agent.h"

namespace mindspore::internal {

HostRunInfoComm::HostRunInfoComm(uint32_t block_dim) : block_dim_(block_dim) {}
uint32_t HostRunInfoComm::GetBlockDim() const { return block_dim_; }

InternalOp::InternalOp(const InputsImmutableInfoList &inputs, const OutputsImmutableInfoList &outputs,
                       const std::string &name)
    : inputs_ii_(inputs), outputs_ii_(outputs), op_name_(name) {}

InternalStatus InternalOp::Init() { return InitImpl(); }
InternalStatus InternalOp::InitImpl() { return kInternalOk; }

InternalStatus InternalOp::UpdateShape(const ShapeInfoList &inputs, const ShapeInfoList &outputs) {
  inputs_shape_ = inputs;
  outputs_shape_ = outputs;
  return kInternalOk;
}

InternalStatus InternalOp::Tiling(RawHostAddr address, HostRunInfoPtr *run_info) {
  return TilingImpl(address, run_info);
}
void InternalOp::SetTilingInfo(const TilingInfoPtr &) {}
void InternalOp::SetHostRunInfoComm(const HostRunInfoComm &, HostRunInfoPtr *) {}
InternalStatus InternalOp::TilingFromTuning(const RawDeviceAddr) { return kInternalError; }
bool InternalOp::IsSupported(const InputDataTypes &) { return true; }

InternalStatus InternalOp::Launch(const InputsAddrList &inputs, const OutputsAddrList &outputs,
                                  const WsAddrList &workspaces, void *stream, const std::string &full_name) {
  return LaunchWithProfiling(inputs, outputs, workspaces, stream, full_name);
}
InternalStatus InternalOp::LaunchWithProfiling(const InputsAddrList &inputs, const OutputsAddrList &outputs,
                                               const WsAddrList &workspaces, void *stream, const std::string &) {
  return LaunchImpl(inputs, outputs, workspaces, stream);
}

}  // namespace mindspore::internal
