// SPDX-License-Identifier: Apache-2.0
// Checkpoint: a model's tensors on disk, in one file or in shards named by an index.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/base/output_folder.h"
#include "converter/checkpoint/quantized/quantized_weights.h"
#include "converter/tensors/tensor_source.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {

class Checkpoint final : public TensorSource {
 public:
  /// Opens `path`: a file of tensors, an index of such, or a folder with, in this order,
  /// model.safetensors, model.safetensors.index.json and the shards it names, a single file of
  /// either ending under another name, pytorch_model.bin, pytorch_model.bin.index.json, a single
  /// GGUF model. A head that
  /// has the numbers of the input embedding is left out where config.json ties the two: they are
  /// one matrix. A head that differs is the model's own, whatever config.json says. A tied head that
  /// is stored alone goes by the name of the input embedding. Weights that are stored as codes of
  /// a quantization appear as the weights that they stand for, their codes not at all.
  /// Errors   kNotFound: no such file or folder, nothing to read in it, a missing shard.
  ///          kCorrupt: an index that contradicts its shards, a tensor in two shards, any fault of
  ///          a file. Messages name file and tensor.
  ///          kUnsupported: weights of a quantization that graft does not read, a file of another
  ///          program's.
  static Result<std::unique_ptr<Checkpoint>> Open(const std::filesystem::path& path);

  std::span<const TensorInfo> tensors() const override { return infos_; }
  const TensorInfo* Find(std::string_view name) const override;
  Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const override;
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override;

  /// Where a tensor lies; null if there is none of that name.
  struct Location {
    size_t shard = 0;
    const WeightFile::Entry* entry = nullptr;  ///< Of its codes, if they are packed.
    const PackedTensor* packed = nullptr;      ///< Null: the bytes are the numbers.
  };
  const Location* Locate(std::string_view name) const;
  /// The tied head that was left out, if it is stored as numbers of its own; null if there is none.
  const WeightFile::Entry* copied_head() const { return copied_head_; }
  /// The tied head that is stored alone and taken for the input embedding; null if there is none.
  const WeightFile::Entry* lone_head() const { return lone_head_; }
  /// What the files call a tensor, or would call a new one. Names are given here without the parts
  /// that training programs add (WithoutTrainingWrappers, WithoutParallelWrappers).
  std::string StoredName(std::string_view name) const;
  /// What a tensor of the files is called here.
  std::string NameOf(const WeightFile::Entry& entry) const;

  /// The weight files in name order.
  std::span<const std::unique_ptr<WeightFile>> shards() const { return shards_; }
  /// The index the shards were found by; empty for a single file.
  const std::filesystem::path& index_file() const { return index_file_; }
  /// The folder of config.json and what else lies beside the weights; a GGUF file's is made of its
  /// settings, and lives as long as this.
  const std::filesystem::path& folder() const { return folder_; }
  /// How the weights are stored, where that is not as the numbers they are: "GGUF (15 Q4_K, 9 F32)",
  /// "GPTQ 4 bits in groups of 128 (112 tensors)". Empty: as numbers.
  const std::string& stored_as() const { return stored_as_; }
  /// Whether some of the weights are stored in fewer bits than they were trained in.
  bool is_quantized() const { return is_quantized_; }
  /// Whether the files beside the weights were made of a GGUF file's settings.
  bool is_gguf() const { return made_ != nullptr; }

  /// XXH3-128 over the weight files in name order. Reads them whole.
  /// Errors   those of HashFiles.
  Result<schema::Hash128> Hash(const std::atomic<bool>* stop = nullptr) const;

 private:
  Checkpoint() = default;
  Status OpenFiles(const std::filesystem::path& path);
  Status OpenGguf(const std::filesystem::path& file);
  std::vector<std::pair<std::string, Location>> Named() const;
  Status Gather();
  Status PresentPacked(const std::filesystem::path& path);
  Result<bool> SameNumbers(const TensorInfo& a, const TensorInfo& b) const;
  std::string CommonWrapper() const;
  Status SettleTiedHead();
  void TakeHeadForInput(const std::string& head, std::string input);

  std::unique_ptr<OutputFolder> made_;  // holds folder_, if that is made
  std::filesystem::path folder_;
  std::filesystem::path index_file_;
  std::vector<std::unique_ptr<WeightFile>> shards_;
  std::vector<TensorInfo> infos_;
  std::vector<Location> locations_;  // beside infos_
  std::vector<PackedWeight> packed_;
  const WeightFile::Entry* copied_head_ = nullptr;
  const WeightFile::Entry* lone_head_ = nullptr;
  bool drop_module_ = false;  // the parts of parallel classes are left out of names
  std::string stored_as_;
  bool is_quantized_ = false;
  std::string wrapper_;  // what stands before every stored name
};

}  // namespace graft::converter
