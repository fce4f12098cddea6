// SPDX-License-Identifier: Apache-2.0
#include "platforms/posix/cpu_name.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace graft::platform {
namespace {

struct Part {
  uint16_t implementer;
  uint16_t part;
  const char* name;
};

// The numbers of MIDR_EL1, from Arm's technical reference manuals and Linux's cputype.h.
constexpr Part kParts[] = {
    {0x41, 0xc05, "Cortex-A5"},    {0x41, 0xc07, "Cortex-A7"},   {0x41, 0xc08, "Cortex-A8"},
    {0x41, 0xc09, "Cortex-A9"},    {0x41, 0xc0d, "Cortex-A17"},  {0x41, 0xc0e, "Cortex-A17"},
    {0x41, 0xc0f, "Cortex-A15"},   {0x41, 0xd01, "Cortex-A32"},  {0x41, 0xd03, "Cortex-A53"},
    {0x41, 0xd04, "Cortex-A35"},   {0x41, 0xd05, "Cortex-A55"},  {0x41, 0xd07, "Cortex-A57"},
    {0x41, 0xd08, "Cortex-A72"},   {0x41, 0xd09, "Cortex-A73"},  {0x41, 0xd0a, "Cortex-A75"},
    {0x41, 0xd0b, "Cortex-A76"},   {0x41, 0xd0c, "Neoverse-N1"}, {0x41, 0xd0d, "Cortex-A77"},
    {0x41, 0xd0e, "Cortex-A76AE"}, {0x41, 0xd40, "Neoverse-V1"}, {0x41, 0xd41, "Cortex-A78"},
    {0x41, 0xd42, "Cortex-A78AE"}, {0x41, 0xd44, "Cortex-X1"},   {0x41, 0xd46, "Cortex-A510"},
    {0x41, 0xd47, "Cortex-A710"},  {0x41, 0xd48, "Cortex-X2"},   {0x41, 0xd49, "Neoverse-N2"},
    {0x41, 0xd4b, "Cortex-A78C"},  {0x41, 0xd4d, "Cortex-A715"}, {0x41, 0xd4e, "Cortex-X3"},
    {0x41, 0xd4f, "Neoverse-V2"},  {0x41, 0xd80, "Cortex-A520"}, {0x41, 0xd81, "Cortex-A720"},
    {0x41, 0xd82, "Cortex-X4"},    {0x41, 0xd84, "Neoverse-V3"}, {0x41, 0xd85, "Cortex-X925"},
    {0x41, 0xd87, "Cortex-A725"},  {0x41, 0xd8e, "Neoverse-N3"}, {0x51, 0x800, "Kryo Gold"},
    {0x51, 0x801, "Kryo Silver"},  {0x51, 0x802, "Kryo Gold"},   {0x51, 0x803, "Kryo Silver"},
    {0x51, 0x804, "Kryo Gold"},    {0x51, 0x805, "Kryo Silver"}, {0x51, 0x001, "Oryon"},
};

/// The value of a line "key : value" of a block; "" if it has none.
std::string_view FieldOf(std::string_view block, std::string_view key) {
  for (size_t at = 0; at < block.size();) {
    const size_t end = std::min(block.find('\n', at), block.size());
    const std::string_view line = block.substr(at, end - at);
    at = end + 1;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.substr(0, key.size()) != key) continue;
    if (line.substr(key.size(), colon - key.size()).find_first_not_of(" \t") !=
        std::string_view::npos)
      continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string_view::npos ? std::string_view() : line.substr(value);
  }
  return {};
}

}  // namespace

std::string CpuName(const std::string& cpuinfo, unsigned cpu) {
  constexpr size_t kLongestName = 63;
  const std::string_view text = cpuinfo;
  for (size_t at = 0; at < text.size();) {  // a block for each CPU, an empty line after each
    const size_t end = std::min(text.find("\n\n", at), text.size());
    const std::string_view block = text.substr(at, end - at);
    at = end + 2;
    const std::string_view number = FieldOf(block, "processor");
    if (number != std::to_string(cpu)) continue;
    const std::string implementer(FieldOf(block, "CPU implementer"));
    const std::string part(FieldOf(block, "CPU part"));
    if (!implementer.empty() && !part.empty()) {
      const auto maker = std::strtoul(implementer.c_str(), nullptr, 16);
      const auto model = std::strtoul(part.c_str(), nullptr, 16);
      for (const Part& known : kParts) {
        if (known.implementer == maker && known.part == model) return known.name;
      }
      char name[48];
      std::snprintf(name, sizeof(name), "ARM part 0x%02lx-0x%03lx", maker, model);
      return name;
    }
    return std::string(FieldOf(block, "model name").substr(0, kLongestName));
  }
  return "";
}

}  // namespace graft::platform
