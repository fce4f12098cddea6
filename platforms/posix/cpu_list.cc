// SPDX-License-Identifier: Apache-2.0
// Lists of CPUs as Linux writes them.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "runtime/platform/cpus.h"

namespace graft::runtime {

Result<CpuSet> ParseCpuList(std::string_view text) {
  const auto refuse = [&] {
    return Error(StatusCode::kInvalidArgument, "\"%.*s\" is no list of CPUs below %u such as 0-3,6",
                 static_cast<int>(std::min<size_t>(text.size(), 100)), text.data(), kMaxCpus);
  };
  bool listed[kMaxCpus] = {};
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto read_number = [&](unsigned* number) {
    const auto [after, error] = std::from_chars(at, end, *number);
    at = after;
    return error == std::errc() && *number < kMaxCpus;
  };
  do {
    unsigned first = 0;
    if (!read_number(&first)) return refuse();
    unsigned last = first;
    if (at != end && *at == '-') {
      ++at;
      if (!read_number(&last) || last < first) return refuse();
    }
    for (unsigned cpu = first; cpu <= last; ++cpu) listed[cpu] = true;
  } while (at != end && *at++ == ',');
  if (at != end || text.back() == ',') return refuse();
  CpuSet cpus;
  for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (listed[cpu]) cpus.push_back(cpu);
  }
  return cpus;
}

std::string CpuListText(const CpuSet& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ",";
    text += std::to_string(cpus[i]);
    if (last > i) text += "-" + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace graft::runtime
