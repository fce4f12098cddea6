// SPDX-License-Identifier: Apache-2.0
// Runs tokenizers on texts: the bytes are a tokenizer.json, a zero, and a text. What the device
// takes of the one must end on the other, with ids that the tokenizer has.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <flatbuffers/flatbuffers.h>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/generated/model_generated.h"
#include "schema/verify_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  const std::string_view text = end == input.npos ? "Hello, world!" : input.substr(end + 1);
  const auto document =
      graft::converter::JsonDocument::Parse(input.substr(0, end), "tokenizer.json");
  if (!document.ok()) return 0;
  flatbuffers::FlatBufferBuilder builder;
  const auto built = graft::converter::BuildTokenizer(builder, (*document)->root());
  if (!built.ok() || built->IsNull()) return 0;
  builder.Finish(*built);
  const auto* tables =
      flatbuffers::GetRoot<graft::schema::fb::Tokenizer>(builder.GetBufferPointer());
  if (!graft::schema::VerifyTokenizer(*tables, 0).ok()) std::abort();

  const auto tokenizer = graft::runtime::Tokenizer::Create(*tables);
  if (!tokenizer.ok()) return 0;
  const auto ids = (*tokenizer)->Encode(text, true);
  if (!ids.ok()) return 0;
  for (const int32_t id : *ids)
    if (id < 0 || static_cast<uint32_t>(id) >= (*tokenizer)->size()) std::abort();
  const auto again = (*tokenizer)->Encode(text, true);  // with what the first has left behind
  if (again.ok() && *again != *ids) std::abort();
  (void)(*tokenizer)->EncodeTyped(text, text, true, 8);
  const auto whole = (*tokenizer)->Decode(*ids, false);
  if (!whole.ok()) return 0;
  std::string in_parts;
  graft::runtime::TextStream stream(**tokenizer, false);
  for (const int32_t id : *ids)
    if (!stream.Append(id, &in_parts).ok()) return 0;
  if (stream.Finish(&in_parts).ok() && in_parts != *whole) std::abort();
  return 0;
}
