// SPDX-License-Identifier: Apache-2.0
// One GGUF file, read: its blocks become numbers as rows are asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "converter/formats/gguf/gguf_header.h"
#include "converter/formats/gguf/gguf_layout.h"
#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

class GgufFile final : public WeightFile {
 public:
  /// A tensor of the file under a name of its own.
  struct View {
    std::string name;
    size_t tensor = 0;  ///< Its number in the header.
    GgufLayout layout;
  };

  /// Shows every tensor as it is stored. Blocks are shown as float32, which holds their numbers.
  /// Errors   those of GgufHeader::Read;
  ///          kUnsupported: a tensor of a type that is known, but not read.
  static Result<std::unique_ptr<GgufFile>> Open(const std::filesystem::path& path);

  const GgufHeader& header() const { return *header_; }
  /// Shows these tensors only, in their layouts.
  /// Errors   kCorrupt: two of one name, a layout that does not fit its tensor.
  Status Show(std::vector<View> views);
  /// What is told of the file to whoever reads its tensors.
  void SetMetadata(std::vector<std::pair<std::string, std::string>> metadata) {
    metadata_ = std::move(metadata);
  }
  /// Lets go of what the header says besides where tensors lie: vocabularies are large.
  void ForgetSettings() { header_->ForgetSettings(); }

  Status ReadElements(const Entry& entry, int64_t first, std::span<double> out) const override;
  Status ReadBytes(const Entry& entry, uint64_t offset, std::span<uint8_t> out) const override;

  /// Elements [first, first + out.size()) as stored, in the file's order.
  Status ReadStored(const GgufTensor& tensor, int64_t first, std::span<double> out) const;

 private:
  GgufFile(std::unique_ptr<InputFile> file, std::unique_ptr<GgufHeader> header)
      : WeightFile(std::move(file)), header_(std::move(header)) {}
  const View& ViewOf(const Entry& entry) const;
  const GgufTensor* JoinedTo(const View& view) const;
  Status CheckLayout(const View& view) const;
  Status ReadOrdered(const Entry& entry, int64_t first, std::span<double> out) const;
  Status ReadRow(const View& view, int64_t row, int64_t column, std::span<double> out) const;
  Status ReadJoined(const View& view, int64_t first, std::span<double> out) const;
  Status ReadColumns(const View& view, int64_t first, std::span<double> out) const;
  Status ReadBlocks(const GgufTensor& tensor, int64_t first, std::span<double> out) const;

  std::unique_ptr<GgufHeader> header_;
  std::vector<View> views_;  // beside entries_
};

}  // namespace graft::converter
