/* Operators of CANN that are called by name, with a description and a buffer for each tensor. */
#include <exception>
#include <functional>
#include <map>

#include "report.h"
#include "tensor.h"

using namespace emulated;

struct aclTensorDesc {
  Dtype dtype;
  Shape shape;
};
struct aclDataBuffer {
  void *data;
};

namespace {

using Tensors = std::vector<Tensor>;

void range(const Tensors &in, const Tensors &out) {
  const double start = in[0].get(0), step = in[2].get(0);
  for (int64_t i = 0; i < out[0].size(); i++) out[0].set(i, start + static_cast<double>(i) * step);
}

void identity(const Tensors &in, const Tensors &out) {
  for (int64_t i = 0; i < out[0].size(); i++) out[0].set(i, in[0].get(i));
}

const std::map<std::string, std::function<void(const Tensors &, const Tensors &)>> kOperators = {
    {"Range", range},
    {"Identity", identity},
};

Tensors tensors(int size, const aclTensorDesc *const *descriptions, const aclDataBuffer *const *buffers) {
  Tensors made;
  for (int i = 0; i < size; i++) made.emplace_back(buffers[i]->data, descriptions[i]->dtype, descriptions[i]->shape);
  return made;
}

}  // namespace

extern "C" {

aclTensorDesc *aclCreateTensorDesc(int type, int dimensions, const int64_t *shape, int) {
  return new aclTensorDesc{from_acl(type), Shape(shape, shape + dimensions)};
}
void aclDestroyTensorDesc(const aclTensorDesc *description) { delete description; }
int aclSetTensorFormat(aclTensorDesc *, int) { return 0; }

aclDataBuffer *aclCreateDataBuffer(void *data, size_t) { return new aclDataBuffer{data}; }
int aclDestroyDataBuffer(const aclDataBuffer *buffer) { return delete buffer, 0; }

int aclopCompileAndExecute(const char *type, int inputs, const aclTensorDesc *const *from,
                           const aclDataBuffer *const *in, int outputs, const aclTensorDesc *const *to,
                           aclDataBuffer *const *out) {
  const std::string name = std::string("aclop ") + type;
  const auto found = kOperators.find(type);
  if (found == kOperators.end()) return failed(absent(name));
  launched(name);
  try {
    found->second(tensors(inputs, from, in), tensors(outputs, to, out));
  } catch (const std::exception &error) {
    return failed(name + ": " + error.what());
  }
  return kSuccess;
}
int aclopCompileAndExecuteV2(const char *type, int inputs, const aclTensorDesc *const *from,
                             const aclDataBuffer *const *in, int outputs, const aclTensorDesc *const *to,
                             aclDataBuffer *const *out) {
  return aclopCompileAndExecute(type, inputs, from, in, outputs, to, out);
}
}
