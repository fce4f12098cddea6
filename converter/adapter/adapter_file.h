// SPDX-License-Identifier: Apache-2.0
// AdapterFile: an adapter on disk, its tensors sorted by the module they belong to.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_config.h"
#include "converter/adapter/adapter_keys.h"
#include "converter/adapter/module_pattern.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {

/// One tensor of an adapter: "layers.0.q_proj" + "lora_A", or, with an empty role, a whole tensor
/// that replaces "norm.weight".
struct AdapterTensor {
  std::string module;  ///< The module's name in the model, without PEFT's wrappers; for a
                       ///< replacement, the tensor's name.
  std::string role;    ///< As AdapterKey has it; empty for a replacement.
  const WeightFile::Entry* entry = nullptr;

  const std::vector<int64_t>& shape() const { return entry->info.shape; }
  int64_t elements() const { return entry->info.rows() * entry->info.row_elements(); }
};

/// The tensors of one module by role.
struct AdapterModule {
  std::string name;
  std::string wrapper;  ///< As AdapterKey has it.
  std::map<std::string, AdapterTensor, std::less<>> tensors;

  /// The tensor of that role; null if there is none.
  const AdapterTensor* Find(std::string_view role) const;
  bool Has(std::string_view role) const { return Find(role) != nullptr; }
  /// The name that the configuration's patterns for ranks and alphas are held against.
  const std::string& pattern_name() const { return wrapper.empty() ? name : wrapper; }
};

class AdapterFile {
 public:
  /// Opens the adapter that LocateAdapter finds at `path`, a folder or a file, reads its
  /// configuration and the header of its weights, and every number of it once. It must be of one of
  /// `kinds`, which must outlive it. A file with kohya's names needs no configuration, and a GGUF file
  /// none but the base's, which lies in `base`.
  /// Errors   those of LocateAdapter, AdapterConfig::Read and WeightFile::Open.
  ///          kNotFound: PEFT's or mlx-lm's tensors without their configuration, in no file beside
  ///          them and not in their metadata.
  ///          kUnsupported: several adapters in one file.
  ///          kCorrupt: a tensor with a value that is not finite or not a floating-point number,
  ///          two tensors for one place. Messages name file and tensor.
  static Result<std::unique_ptr<AdapterFile>> Open(const std::filesystem::path& path,
                                                   const AdapterKinds& kinds,
                                                   const std::filesystem::path& base = {});

  /// The folder with the configuration, where a tokenizer may lie too; empty for kohya's files.
  const std::filesystem::path& folder() const { return folder_; }
  const AdapterConfig& config() const { return config_; }
  const ModuleRules& rules() const { return *rules_; }
  const WeightFile& weights() const { return *weights_; }
  /// Modules with tensors of the adapter's own, in name order.
  const std::map<std::string, AdapterModule, std::less<>>& modules() const { return modules_; }
  /// Whole tensors by the name they replace.
  const std::map<std::string, AdapterTensor, std::less<>>& replacements() const {
    return replacements_;
  }

  /// An error that names this file and a tensor of it.
  Status Fail(StatusCode code, const AdapterTensor& tensor, const std::string& what) const;

 private:
  AdapterFile() = default;
  // The configuration from the weights' own metadata.
  Status ReadMetadata(const AdapterKinds& kinds);
  Result<AdapterNames> FindAdapterNames(const AdapterKinds& kinds) const;
  Status Sort(const AdapterKinds& kinds);
  Status CheckFinite() const;

  std::filesystem::path folder_;
  AdapterConfig config_;
  std::unique_ptr<ModuleRules> rules_;
  std::unique_ptr<WeightFile> weights_;
  std::map<std::string, AdapterModule, std::less<>> modules_;
  std::map<std::string, AdapterTensor, std::less<>> replacements_;
};

}  // namespace graft::converter
