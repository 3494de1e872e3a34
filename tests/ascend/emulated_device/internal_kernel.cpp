#include "internal_kernel.h"

#include <exception>

#include "report.h"

namespace emulated {

using namespace mindspore::internal;

Dtype from_internal(DataType type) {
  switch (type) {
    case kTypeFloat16: return Dtype::Float16;
    case kTypeFloat32: return Dtype::Float32;
    case kTypeFloat64: return Dtype::Double;
    case kTypeInt8: return Dtype::Int8;
    case kTypeInt16: return Dtype::Int16;
    case kTypeInt32: return Dtype::Int32;
    case kTypeInt64: return Dtype::Int64;
    case kTypeUint8: return Dtype::Uint8;
    case kTypeBF16: return Dtype::BFloat16;
    case kTypeBool: return Dtype::Bool;
    default: return Dtype::Unknown;
  }
}

namespace {

Tensors tensors(const std::vector<void *> &data, const std::vector<ArgImmutableInfo> &infos,
                const ShapeInfoList &shapes) {
  Tensors made;
  for (size_t i = 0; i < data.size(); i++) made.emplace_back(data[i], from_internal(infos[i].GetDtype()), shapes[i]);
  return made;
}

}  // namespace

InternalStatus InternalKernel::TilingImpl(RawHostAddr, HostRunInfoPtr *run_info) {
  *run_info = std::make_shared<HostRunInfoComm>(1);
  return kInternalOk;
}

InternalStatus InternalKernel::LaunchImpl(const InputsAddrList &inputs, const OutputsAddrList &outputs,
                                          const WsAddrList &, void *) {
  launched(op_name_);
  try {
    compute(tensors(inputs, inputs_ii_, inputs_shape_), tensors(outputs, outputs_ii_, outputs_shape_));
  } catch (const std::exception &error) {
    failed(op_name_ + ": " + error.what());
    return kInternalError;
  }
  return kInternalOk;
}

}  // namespace emulated
