// SPDX-License-Identifier: Apache-2.0
// graft-run selftest: whether a model computes here what was converted.
#include <cmath>
#include <cstdio>
#include <string>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {
namespace {

const char* VerdictName(int32_t verdict) {
  switch (verdict) {
    case GRAFT_SELF_TEST_BASE:
      return "base";
    case GRAFT_SELF_TEST_ADAPTED:
      return "adapted";
    case GRAFT_SELF_TEST_BROKEN:
      return "broken";
    default:
      return "no answers to compare with";
  }
}

void PrintText(const graft_self_test& found) {
  std::printf("%s: %s\n", found.passed != 0 ? "passed" : "failed", VerdictName(found.verdict));
  if (found.note[0] != '\0') std::printf("note          %s\n", found.note);
  std::printf("probes        %u, %u with answers\n", found.probes, found.answers);
  if (found.answers == 0) return;
  std::printf("logits differ by %.4g from those of the file's weights (%.4g may be)\n",
              found.deviation, found.tolerance);
  std::printf("              by %.4g from those before rounding\n", found.adapted_deviation);
  if (std::isnan(found.base_deviation)) return;
  std::printf("              by %.4g from the base's; %.0f %% of the adapter's change is there\n",
              found.base_deviation, 100 * found.adapter_share);
}

}  // namespace

int RunSelfTest(int argc, char** argv) {
  std::string file;
  bool json = false;
  CacheOptions cache;
  ThreadOptions threads;
  Options options;
  cache.AddTo(&options);
  threads.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("selftest: " + problem);
  }
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  graft_self_test found{};
  found.struct_size = sizeof(found);
  graft_error error{};
  if (graft_model_self_test(model.get(), &found, &error) != GRAFT_OK) {
    return FailCall(file, error);
  }
  if (json) {
    JsonObject()
        .String("verdict",
                found.verdict == GRAFT_SELF_TEST_NONE ? "none" : VerdictName(found.verdict))
        .Bool("passed", found.passed != 0)
        .String("note", found.note)
        .Integer("probes", found.probes)
        .Integer("answers", found.answers)
        .Number("deviation", found.deviation)
        .Number("tolerance", found.tolerance)
        .Number("adapted_deviation", found.adapted_deviation)
        .Number("base_deviation", found.base_deviation)
        .Number("adapter_share", found.adapter_share)
        .Print();
  } else {
    PrintText(found);
  }
  return found.passed != 0 ? kExitOk : kExitFailure;
}

}  // namespace graft_run
