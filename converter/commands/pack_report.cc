// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/pack_report.h"

#include <array>
#include <cinttypes>
#include <cstdio>

#include "converter/commands/hash_text.h"
#include "converter/commands/progress.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string PackReportText(const std::string& file, const PackOutcome& outcome) {
  std::array<char, 200> text{};
  std::snprintf(
      text.data(), text.size(),
      ": %s, %.1f %% of the %s that it makes; %.1f %% of the codes it touches changed",
      BytesText(outcome.pack_bytes).c_str(), Percent(outcome.pack_bytes, outcome.result_bytes),
      BytesText(outcome.result_bytes).c_str(), Percent(outcome.changed_codes, outcome.codes));
  return file + text.data();
}

std::string PackReportJson(const std::string& file, const PackOutcome& outcome) {
  std::array<char, 600> text{};
  std::snprintf(
      text.data(), text.size(),
      ", \"pack_bytes\": %" PRIu64 ", \"result_bytes\": %" PRIu64 ", \"same_bytes\": %" PRIu64
      ", \"changed_bytes\": %" PRIu64 ", \"new_bytes\": %" PRIu64 ", \"codes\": %" PRIu64
      ", \"changed_codes\": %" PRIu64
      ", \"entropy_bytes\": %.0f, \"base_identity\": \"%s\", \"result_identity\": \"%s\"}",
      outcome.pack_bytes, outcome.result_bytes, outcome.same_bytes, outcome.changed_bytes,
      outcome.new_bytes, outcome.codes, outcome.changed_codes, outcome.entropy_bytes,
      HashText(outcome.base_identity).c_str(), HashText(outcome.result_identity).c_str());
  return "{\"file\": " + JsonQuote(file) + text.data();
}

}  // namespace graft::converter
