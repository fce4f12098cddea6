// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/generation/generate_requests.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/console/json_line.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/options/sampling_options.h"

namespace graft_run {
namespace {

bool ReadCount(const JsonScalar& value, uint64_t most, uint64_t* count) {
  const char* const end = value.text.data() + value.text.size();
  const auto [behind, error] = std::from_chars(value.text.data(), end, *count);
  return !value.is_text && error == std::errc() && behind == end && *count <= most;
}

std::string ReadRequest(std::string_view line, GenerateRequest* request) {
  std::vector<std::pair<std::string, JsonScalar>> members;
  if (std::string problem = ReadJsonLine(line, &members); !problem.empty()) return problem;
  bool has_prompt = false;
  for (auto& [key, value] : members) {
    if (key == "prompt") {
      if (!value.is_text) return "\"prompt\" is no text";
      request->prompt = std::move(value.text);
      has_prompt = true;
    } else if (key == "id") {
      request->id = value.is_text ? JsonText(value.text) : value.text;
    } else if (key == "seed") {
      if (!ReadCount(value, UINT64_MAX, &request->seed)) return "\"seed\" is no whole number";
    } else if (key == "max_tokens") {
      if (!ReadCount(value, kMaxContextTokens, &request->max_tokens) || request->max_tokens == 0) {
        return "\"max_tokens\" is no number of tokens";
      }
    } else {
      return Format("\"%.60s\" is none of \"prompt\", \"id\", \"seed\" and \"max_tokens\"",
                    key.c_str());
    }
  }
  return has_prompt ? std::string() : std::string("\"prompt\" is missing");
}

}  // namespace

bool ReadRequests(const std::string& file, uint64_t seed, std::vector<GenerateRequest>* requests) {
  std::string text;
  if (!ReadTextFile(file, &text)) return false;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    GenerateRequest& request = requests->emplace_back();
    request.seed = seed;
    if (const std::string problem = ReadRequest(line, &request); !problem.empty()) {
      Fail(file, Format("line %zu: %s", number, problem.c_str()));
      return false;
    }
  }
  if (requests->empty()) Fail(file, "holds no prompts");
  return !requests->empty();
}

}  // namespace graft_run
