#include "report.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <mutex>

namespace emulated {
namespace {

std::mutex guard;
char recent[4096];

}  // namespace

void launched(const std::string &name) {
  using Launch = int (*)(const char *);
  static const auto stub = reinterpret_cast<Launch>(dlsym(RTLD_NEXT, "rehearsal_launch"));
  stub(name.c_str());
}

int failed(const std::string &message) {
  const std::lock_guard<std::mutex> lock(guard);
  std::snprintf(recent, sizeof recent, "%s", message.c_str());
  std::fprintf(stderr, "%s\n", recent);
  return kFailed;
}

std::string absent(const std::string &name) { return "the emulated device has no " + name; }

}  // namespace emulated

extern "C" const char *aclGetRecentErrMsg() { return emulated::recent; }

/* Called by the stub for every operator and collective that is not defined here. */
extern "C" int rehearsal_launch(const char *name) {
  emulated::launched(name);
  return emulated::failed(emulated::absent(name));
}
