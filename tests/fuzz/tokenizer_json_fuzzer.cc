// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary text to the tokenizer.json compiler; what it accepts, the device's verifier must
// accept too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <flatbuffers/flatbuffers.h>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "schema/generated/model_generated.h"
#include "schema/verify_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = graft::converter::JsonDocument::Parse(text, "tokenizer.json");
  if (!document.ok()) return 0;
  flatbuffers::FlatBufferBuilder builder;
  const auto tokenizer = graft::converter::BuildTokenizer(builder, (*document)->root());
  if (!tokenizer.ok() || tokenizer->IsNull()) return 0;
  builder.Finish(*tokenizer);
  const auto* built =
      flatbuffers::GetRoot<graft::schema::fb::Tokenizer>(builder.GetBufferPointer());
  if (!graft::schema::VerifyTokenizer(*built, 0).ok()) abort();
  return 0;
}
