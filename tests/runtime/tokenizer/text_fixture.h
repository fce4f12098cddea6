// SPDX-License-Identifier: Apache-2.0
// Tokenizers for tests: from folders of test data, and from JSON written in the test.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/tokenizer/tokenizer_class.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::test {

/// A tokenizer and the tables it reads.
class TestTokenizer {
 public:
  /// From `folder`'s files, beside a config.json of that context; fails the test if that does not
  /// work.
  static TestTokenizer FromFolder(const std::string& folder,
                                  const converter::TokenizerContext& context = {});
  static TestTokenizer FromJson(std::string_view json);

  const runtime::Tokenizer& operator*() const { return *tokenizer_; }
  const runtime::Tokenizer* operator->() const { return tokenizer_.get(); }
  const schema::fb::Tokenizer& tables() const {
    return *flatbuffers::GetRoot<schema::fb::Tokenizer>(builder_->GetBufferPointer());
  }
  /// The tables as a FlatBuffer of their own.
  std::vector<uint8_t> bytes() const {
    const uint8_t* data = builder_->GetBufferPointer();
    return {data, data + builder_->GetSize()};
  }

 private:
  TestTokenizer() = default;
  void Finish();

  std::unique_ptr<flatbuffers::FlatBufferBuilder> builder_ =
      std::make_unique<flatbuffers::FlatBufferBuilder>();
  std::unique_ptr<const runtime::Tokenizer> tokenizer_;
};

/// The folder of tests/data that holds the tokenizer.json called `name`.
std::string TokenizerFolder(const std::string& name);

/// One text of the fixtures, with what Hugging Face's tokenizers makes of it.
struct ReferenceText {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<int32_t> ids_special;
  std::string decoded;
};
std::vector<ReferenceText> ReadReferenceTexts(const std::string& name);
/// The same from a file of tests/data/tokenizers.
std::vector<ReferenceText> ReadReferenceRows(const std::string& file);
/// tests/data/tokenizers/unigram/NAME.json.
TestTokenizer UnigramTokenizer(const std::string& name);

/// tokenizer.json of a BPE over `vocab` (a JSON object) and `merges` (a JSON array), with
/// `members`, more of the root's members and a comma behind each, in front.
std::string BpeJson(std::string_view members, std::string_view vocab, std::string_view merges,
                    std::string_view model_members = "");

}  // namespace graft::test
