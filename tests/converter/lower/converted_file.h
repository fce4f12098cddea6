// SPDX-License-Identifier: Apache-2.0
// Conversions as tests run them: a folder in, a verified file out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/merge/merged_source.h"
#include "converter/write/write_model.h"
#include "schema/verify.h"

namespace graft::schema::fb {
struct Op;
struct Tensor;
}  // namespace graft::schema::fb

namespace graft::converter {

struct ConvertRequest {
  std::filesystem::path base;
  std::filesystem::path adapter;  ///< Empty: none.
  StoredFormat format;
  std::filesystem::path output;
  int threads = 1;
  int64_t delta_row_stride = 16;
  MergeRules rules = {};
  bool keep_delta = false;
  bool long_context = false;
  bool text_only = false;
  std::optional<CalibrationOptions> calibration = {};
  std::optional<double> bits = {};
  double adapter_weight = 1.0;
};

/// What `graft-convert convert` does, without its words.
Result<WriteOutcome> ConvertModel(const ConvertRequest& request);

/// A .graft file in memory, verified whole.
class LoadedModel {
 public:
  /// Fails the test if the file is not valid.
  explicit LoadedModel(const std::filesystem::path& file);

  const schema::fb::Model& model() const { return verified_->model(); }
  const schema::VerifiedModel& verified() const { return *verified_; }
  /// Null if there is none of that name.
  const schema::fb::Op* FindOp(std::string_view name) const;
  const schema::fb::Tensor* FindTensor(std::string_view name) const;
  /// Elements of an f32 tensor. Fails the test if there is none of that name.
  std::vector<float> Floats(std::string_view name) const;

 private:
  std::vector<uint64_t> storage_;  // aligned as a mapped file is
  std::unique_ptr<schema::VerifiedModel> verified_;
};

/// Puts `to` in place of the only occurrence of `from` in a file; fails the test if there is not
/// exactly one.
void EditFile(const std::filesystem::path& file, std::string_view from, std::string_view to);

/// Names in a folder, sorted.
std::vector<std::string> NamesIn(const std::filesystem::path& folder);

}  // namespace graft::converter
