// SPDX-License-Identifier: Apache-2.0
// QuantizationConfig: what the settings beside a checkpoint say about its codes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

struct QuantizationConfig {
  /// "gptq", "awq", "bitsandbytes", "compressed-tensors", "fp8", "mlx", ...: in small letters; empty
  /// if nothing is said.
  std::string method;
  /// As config.json has it, for messages; empty without `method`.
  std::string spelling;
  std::string format;          ///< checkpoint_format, format, version or packing_format.
  int64_t bits = 0;            ///< 0 if it is not said.
  int64_t group_size = 0;      ///< 0 if it is not said or one group is a whole row.
  std::vector<int64_t> block;  ///< weight_block_size: rows and columns of a block.
  /// The bits and group sizes of all of compressed-tensors' config_groups.
  std::vector<int64_t> some_bits;
  std::vector<int64_t> some_groups;
  /// mlx's settings of single modules, by the module's name.
  struct Module {
    int64_t bits = 0;
    int64_t group_size = 0;
    std::string format;
  };
  std::map<std::string, Module, std::less<>> modules;
  /// The float type of the model; nothing if it is not said or none that a checkpoint is written in.
  std::optional<DType> dtype;

  /// Reads `folder`/config.json and, where that says nothing of it, quantize_config.json of old
  /// GPTQ programs. Empty if there are no such files.
  /// Errors   kCorrupt: not JSON, or values of other kinds than they must be; kIo.
  static Result<QuantizationConfig> Read(const std::filesystem::path& folder);
};

}  // namespace graft::converter
