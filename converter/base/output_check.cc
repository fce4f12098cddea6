// SPDX-License-Identifier: Apache-2.0
#include "converter/base/output_check.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "schema/container.h"
#include "schema/packs/pack.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

// Of kMagic and of kPackMagic alike.
using FirstBytes = std::array<uint8_t, schema::kMagic.size()>;

}  // namespace

Status RefuseInputAsOutput(const std::string& output, std::initializer_list<std::string> inputs) {
  for (const std::string& input : inputs) {
    std::error_code error;
    if (input.empty() || !fs::equivalent(output, input, error)) continue;
    return Error(StatusCode::kInvalidArgument, "%.300s: is read here and would be overwritten",
                 output.c_str());
  }
  return OkStatus();
}

Status RefuseForeignOutput(const std::string& output) {
  std::error_code error;
  if (!fs::is_regular_file(output, error) || fs::file_size(output, error) == 0) return OkStatus();
  std::ifstream file(output, std::ios::binary);
  FirstBytes first{};
  file.read(reinterpret_cast<char*>(first.data()), first.size());
  if (first == schema::kMagic || first == schema::kPackMagic) return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "%.300s: exists and is no file of graft's; remove it, or name another output",
               output.c_str());
}

}  // namespace graft::converter
