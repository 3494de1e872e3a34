/* What the emulated device says: an operator's launch is counted by the stub; what it cannot do is an error. */
#pragma once

#include <string>

namespace emulated {

constexpr int kSuccess = 0;
constexpr int kFailed = 500002;  // CANN's number for an error in an operator

/* Note the launch, as the stub does for its operators. */
void launched(const std::string &name);

/* Keep the message for aclGetRecentErrMsg, which MindSpore adds to its own, and print it. */
int failed(const std::string &message);

/* The message for an operator that is not there. */
std::string absent(const std::string &name);

}  // namespace emulated
