// SPDX-License-Identifier: Apache-2.0
// graft-run estimate: what a model will take of memory, before it is loaded.
#include <cinttypes>
#include <cstdio>
#include <string>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/machine/machine.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {
namespace {

struct Settings {
  std::string file;
  std::string pack;
  graft_session_options session = GRAFT_SESSION_OPTIONS_INIT;
  bool json = false;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  uint64_t threads = 0;
  uint64_t context_tokens = 0;
  uint64_t prefill_chunk = 0;
  std::string kv = "auto";
  Options options;
  options.Integer("context", 0, &context_tokens, 1, 1u << 30);
  options.Integer("chunk", 0, &prefill_chunk, 1, 1u << 30);
  options.String("kv", 0, &kv, nullptr);
  options.String("pack", 0, &settings->pack, nullptr);
  options.Integer("threads", 't', &threads, 1, 256);
  options.Flag("json", &settings->json);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  settings->session.threads = static_cast<uint32_t>(threads);
  settings->session.context_tokens = static_cast<uint32_t>(context_tokens);
  settings->session.prefill_chunk = static_cast<uint32_t>(prefill_chunk);
  return ParseKvFormat(kv, &settings->session.kv_format);
}

void ShowAsJson(const graft_memory_estimate& estimate) {
  JsonObject()
      .Integer("context_tokens", estimate.context_tokens)
      .Integer("threads", estimate.threads)
      .String("kv", KvFormatName(estimate.kv_format))
      .Integer("file_bytes", estimate.file_bytes)
      .Integer("packed_bytes", estimate.packed_bytes)
      .Integer("kv_bytes", estimate.kv_bytes)
      .Integer("activation_bytes", estimate.activation_bytes)
      .Integer("peak_bytes", estimate.peak_bytes)
      .Integer("steady_bytes", estimate.steady_bytes)
      .Integer("private_bytes", estimate.private_bytes)
      .Integer("cached_peak_bytes", estimate.cached_peak_bytes)
      .Integer("cached_steady_bytes", estimate.cached_steady_bytes)
      .Integer("cached_private_bytes", estimate.cached_private_bytes)
      .Integer("storing_peak_bytes", estimate.storing_peak_bytes)
      .Print();
}

void Show(const graft_memory_estimate& estimate) {
  std::printf("context       %u tokens, %s, %u threads\n", estimate.context_tokens,
              KvFormatName(estimate.kv_format), estimate.threads);
  std::printf("file          %" PRIu64 " bytes\n", estimate.file_bytes);
  std::printf("packed        %" PRIu64 " bytes\n", estimate.packed_bytes);
  std::printf("kv cache      %" PRIu64 " bytes\n", estimate.kv_bytes);
  std::printf("activations   %" PRIu64 " bytes\n", estimate.activation_bytes);
  std::printf("peak          %" PRIu64 " bytes (first start with a cache %" PRIu64
              ", from the cache %" PRIu64 ")\n",
              estimate.peak_bytes, estimate.storing_peak_bytes, estimate.cached_peak_bytes);
  std::printf("steady        %" PRIu64 " bytes (from the cache %" PRIu64 ")\n",
              estimate.steady_bytes, estimate.cached_steady_bytes);
  std::printf("private       %" PRIu64 " bytes (from the cache %" PRIu64 ")\n",
              estimate.private_bytes, estimate.cached_private_bytes);
}

}  // namespace

int RunEstimate(int argc, char** argv) {
  // What any run of this program has before it opens a model; graft's estimate comes on top.
  const MemoryUse before = ReadMemoryUse();
  const uint64_t process_bytes = (before.anonymous_kib + before.mapped_kib) * 1024;
  const uint64_t process_private_bytes = before.anonymous_kib * 1024;
  Settings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty()) {
    return FailUsage("estimate: " + problem);
  }
  graft_memory_estimate estimate{};
  estimate.struct_size = sizeof(estimate);
  graft_error error{};
  graft_pack pack = GRAFT_PACK_INIT;
  pack.path = settings.pack.c_str();
  const graft_status status =
      settings.pack.empty()
          ? graft_model_estimate(settings.file.c_str(), &settings.session, &estimate, &error)
          : graft_model_estimate_pack(settings.file.c_str(), &pack, &settings.session, &estimate,
                                      &error);
  if (status != GRAFT_OK) {
    return Fail(settings.file, error.message);
  }
  for (uint64_t* bytes : {&estimate.peak_bytes, &estimate.steady_bytes, &estimate.cached_peak_bytes,
                          &estimate.cached_steady_bytes, &estimate.storing_peak_bytes}) {
    *bytes += process_bytes;
  }
  estimate.private_bytes += process_private_bytes;
  estimate.cached_private_bytes += process_private_bytes;
  if (settings.json) {
    ShowAsJson(estimate);
  } else {
    Show(estimate);
  }
  return kExitOk;
}

}  // namespace graft_run
