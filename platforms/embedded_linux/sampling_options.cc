// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/sampling_options.h"

namespace graft_run {

void SamplingOptions::AddTo(Options* options) {
  options->Integer("max-tokens", 'n', &max_tokens, 1, kMaxContextTokens);
  options->Float("temperature", &temperature, 0, 1000);
  options->Integer("top-k", 0, &top_k, 0, UINT32_MAX);
  options->Float("top-p", &top_p, 0, 1);
  options->Float("min-p", &min_p, 0, 1);
  options->Float("repeat-penalty", &repeat_penalty, 0, 1000);
  options->Integer("seed", 0, &seed, 0, UINT64_MAX);
  options->StringList("stop", &stop);
}

graft_generate_options SamplingOptions::ToGenerateOptions(
    std::vector<const char*>* stop_strings) const {
  stop_strings->clear();
  for (const std::string& string : stop) stop_strings->push_back(string.c_str());
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = static_cast<uint32_t>(max_tokens);
  options.temperature = static_cast<float>(temperature);
  options.top_k = static_cast<uint32_t>(top_k);
  options.top_p = static_cast<float>(top_p);
  options.min_p = static_cast<float>(min_p);
  options.repeat_penalty = static_cast<float>(repeat_penalty);
  options.seed = seed;
  options.stop = stop_strings->data();
  options.stop_count = stop_strings->size();
  return options;
}

}  // namespace graft_run
