#include "acl_objects.h"

using emulated::from_acl;
using emulated::Shape;
using emulated::Tensor;

extern "C" {

int aclnnInit(const char *) { return 0; }
int aclnnFinalize() { return 0; }

aclTensor *aclCreateTensor(const int64_t *shape, uint64_t dimensions, int type, const int64_t *strides, int64_t offset,
                           int, const int64_t *, uint64_t, void *data) {
  Tensor tensor(data, from_acl(type), Shape(shape, shape + dimensions));
  if (strides) tensor.strides.assign(strides, strides + dimensions);
  tensor.offset = offset;
  return new aclTensor{tensor};
}
int aclDestroyTensor(const aclTensor *tensor) { return delete tensor, 0; }

aclScalar *aclCreateScalar(void *value, int type) { return new aclScalar{emulated::read(value, 0, from_acl(type))}; }
int aclDestroyScalar(const aclScalar *scalar) { return delete scalar, 0; }

aclIntArray *aclCreateIntArray(const int64_t *values, uint64_t size) {
  return new aclIntArray{{values, values + size}};
}
int aclDestroyIntArray(const aclIntArray *array) { return delete array, 0; }

aclTensorList *aclCreateTensorList(aclTensor *const *tensors, uint64_t size) {
  return new aclTensorList{{tensors, tensors + size}};
}
int aclDestroyTensorList(const aclTensorList *list) {
  for (const aclTensor *tensor : list->tensors) delete tensor;
  return delete list, 0;
}

int aclDestroyAclOpExecutor(aclOpExecutor *executor) { return delete executor, 0; }
}
