// SPDX-License-Identifier: Apache-2.0
// EditedModel: a test model with its files changed, converted.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "tests/converter/lower/converted_file.h"
#include "tests/support/small_files.h"

namespace graft::converter {

/// A copy of a test model whose files may be changed, and its conversion to f32.
class EditedModel {
 public:
  explicit EditedModel(std::string_view name) { CopyFolder(TestData(name), folder_.path()); }

  EditedModel& Edit(std::string_view from, std::string_view to) {
    EditFile(folder_ / "config.json", from, to);
    return *this;
  }
  void Write(std::string_view file, std::string_view text) { WriteText(folder_ / file, text); }
  const std::filesystem::path& path() const { return folder_.path(); }
  void Remove(std::string_view file) { std::filesystem::remove(folder_ / file); }

  Status TryConvert() {
    return ConvertModel({folder_.path(), {}, {}, output_ / "model.graft"}).status();
  }
  LoadedModel Convert() {
    const Status status = TryConvert();
    REQUIRE_MESSAGE(status.ok(), status.message());
    return LoadedModel(output_ / "model.graft");
  }
  std::string Bytes() {
    Convert();
    return ReadBytes(output_ / "model.graft");
  }
  /// The message of a conversion that must fail, and must leave no file.
  std::string Failure() {
    const Status status = TryConvert();
    CHECK_FALSE(status.ok());
    CHECK(NamesIn(output_.path()).empty());
    return std::string(status.message());
  }

 private:
  TemporaryFolder folder_;
  TemporaryFolder output_;
};

inline bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// A change of a model's settings, and what the message of a conversion must then have; empty: it
/// converts.
struct SettingCase {
  const char* model;
  const char* from;
  const char* to;
  const char* message;
};

/// `folder` is where the models are, as "decoders".
inline void CheckSettings(std::string_view folder, std::span<const SettingCase> cases) {
  for (const SettingCase& test : cases) {
    CAPTURE(std::string(test.model));
    EditedModel model(std::string(folder) + "/" + test.model);
    model.Edit(test.from, test.to);
    if (*test.message == 0) {
      CHECK(model.TryConvert().ok());
      continue;
    }
    const std::string message = model.Failure();
    INFO(message, " | expected: ", std::string(test.message));
    CHECK(Contains(message, test.message));
  }
}

}  // namespace graft::converter
