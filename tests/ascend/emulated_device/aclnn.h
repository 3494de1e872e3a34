/* An operator of CANN is two functions: the first is given the arguments, the second runs what the first prepared. */
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "acl_objects.h"
#include "report.h"

namespace emulated {

inline int prepare(uint64_t *workspace, aclOpExecutor **executor, std::function<void()> compute) {
  *workspace = 0;
  *executor = new aclOpExecutor{std::move(compute)};
  return kSuccess;
}

inline int run(const std::string &name, aclOpExecutor *executor) {
  launched(name);
  try {
    executor->compute();
  } catch (const std::exception &error) {
    return failed(name + ": " + error.what());
  }
  delete executor;
  return kSuccess;
}

}  // namespace emulated

/* ACLNN(name, arguments ...) { return prepare(workspace, executor, ...); } */
#define ACLNN(name, ...)                                                                                               \
  extern "C" int name(void *, uint64_t, aclOpExecutor *executor, void *) { return emulated::run(#name, executor); }    \
  extern "C" int name##GetWorkspaceSize(__VA_ARGS__, uint64_t *workspace, aclOpExecutor **executor)
