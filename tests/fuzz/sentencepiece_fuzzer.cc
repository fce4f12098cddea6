// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the reader of tokenizer.model. What it accepts is a tokenizer.json that
// can be read, and the tables made of it are tables that the device takes.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <flatbuffers/flatbuffers.h>

#include "converter/json/json.h"
#include "converter/tokenizer/sentencepiece_model.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "schema/generated/model_generated.h"
#include "schema/verify_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = graft::converter::SentencePieceToJson(
      std::string_view(reinterpret_cast<const char*>(data), size));
  if (!json.ok()) return 0;
  const auto document = graft::converter::JsonDocument::Parse(*json, "tokenizer.json");
  if (!document.ok()) {
    std::fprintf(stderr, "%s\n", std::string(document.status().message()).c_str());
    std::abort();
  }
  flatbuffers::FlatBufferBuilder builder;
  const auto built = graft::converter::BuildTokenizer(builder, (*document)->root());
  if (!built.ok() || built->IsNull()) return 0;
  builder.Finish(*built);
  const auto* tables =
      flatbuffers::GetRoot<graft::schema::fb::Tokenizer>(builder.GetBufferPointer());
  if (!graft::schema::VerifyTokenizer(*tables, 0).ok()) std::abort();
  return 0;
}
