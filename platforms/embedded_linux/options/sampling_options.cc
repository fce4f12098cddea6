// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/sampling_options.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {

void SamplingOptions::AddTo(Options* options) {
  options->Integer("max-tokens", 'n', &max_tokens, 1, kMaxContextTokens);
  options->Float("temperature", &temperature, 0, 1000);
  options->Integer("top-k", 0, &top_k, 0, UINT32_MAX);
  options->Float("top-p", &top_p, 0, 1);
  options->Float("min-p", &min_p, 0, 1);
  options->Float("repeat-penalty", &repeat_penalty, 0, 1000);
  options->Float("presence-penalty", &presence_penalty, -100, 100);
  options->Float("frequency-penalty", &frequency_penalty, -100, 100);
  options->StringList("logit-bias", &logit_bias);
  options->Integer("seed", 0, &seed, 0, UINT64_MAX);
  options->StringList("stop", &stop);
}

std::string SamplingOptions::Check() {
  for (const std::string& pair : logit_bias) {
    const size_t equals = std::min(pair.find('='), pair.size());
    std::vector<int32_t> ids;
    char* end = nullptr;
    const char* const number = pair.c_str() + std::min(equals + 1, pair.size());
    const double bias = std::strtod(number, &end);
    const bool is_number = end != number && *end == '\0' && !std::isnan(bias) && bias < 1e30;
    if (!ParseIds(pair.substr(0, equals), &ids).empty() || ids.size() != 1 || !is_number) {
      return Format("--logit-bias takes ID=BIAS, such as 42=-1.5 or 42=-inf, not \"%s\"",
                    pair.c_str());
    }
    biases.push_back({ids[0], static_cast<float>(bias)});
  }
  return "";
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
  options.presence_penalty = static_cast<float>(presence_penalty);
  options.frequency_penalty = static_cast<float>(frequency_penalty);
  options.biases = biases.data();
  options.bias_count = biases.size();
  options.seed = seed;
  options.stop = stop_strings->data();
  options.stop_count = stop_strings->size();
  return options;
}

const char* StopReasonName(int32_t reason) {
  switch (reason) {
    case GRAFT_STOP_END_TOKEN:
      return "end_token";
    case GRAFT_STOP_STRING:
      return "stop_string";
    case GRAFT_STOP_MAX_TOKENS:
      return "max_tokens";
    case GRAFT_STOP_CONTEXT:
      return "context";
    case GRAFT_STOP_COMPLETE:
      return "complete";
    default:
      return "callback";
  }
}

}  // namespace graft_run
