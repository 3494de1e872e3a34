/* An internal kernel that the emulated device does not have: an error as soon as one is made, which names it. */
#pragma once

#include <stdexcept>
#include <string>

#include "include/op_creator.h"
#include "report.h"

namespace emulated {

[[noreturn]] inline mindspore::internal::InternalOpPtr absent_kernel(const std::string &name) {
  const std::string message = absent("internal kernel " + name);
  failed(message);
  throw std::runtime_error(message);
}

}  // namespace emulated
