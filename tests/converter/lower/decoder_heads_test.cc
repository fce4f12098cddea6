// SPDX-License-Identifier: Apache-2.0
// What a decoder's last rows become: scores, whose padding each family has its own idea of, or an
// embedding.
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

int32_t PadTokenOf(EditedModel& model) { return model.Convert().model().task()->pad_token(); }

constexpr std::string_view kEmbedding = "architectures/qwen3_embedding";

TEST_SUITE("converter/decoder_heads") {
  TEST_CASE("scores leave out pad_token_id, where it is a token") {
    EditedModel two("architectures/llama_seqcls");
    CHECK(PadTokenOf(two) == 2);
    for (const char* other : {"null", "32", "-1", "128004"}) {
      CAPTURE(std::string(other));
      EditedModel model("architectures/llama_seqcls");
      model.Edit("\"pad_token_id\": 2", std::string("\"pad_token_id\": ") + other);
      CHECK(PadTokenOf(model) == -1);
    }
    EditedModel text("architectures/llama_seqcls");
    text.Edit("\"pad_token_id\": 2", "\"pad_token_id\": \"2\"");
    CHECK(Contains(text.Failure(), "'pad_token_id' must be an integer"));
  }

  TEST_CASE("a file that does not mention pad_token_id has its family's") {
    EditedModel llama("architectures/llama_seqcls");
    llama.Edit("\"pad_token_id\"", "\"ignored\"");
    CHECK(PadTokenOf(llama) == -1);
    EditedModel opt("architectures/opt_seqcls");
    CHECK(PadTokenOf(opt) == 1);
    opt.Edit("\"ffn_dim\"", "\"pad_token_id\": null, \"ffn_dim\"");
    CHECK(PadTokenOf(opt) == -1);
  }

  TEST_CASE("text generation leaves nothing out") {
    EditedModel model("architectures/qwen2_yarn");
    model.Edit("\"pad_token_id\": null", "\"pad_token_id\": 2");
    CHECK(PadTokenOf(model) == -1);
  }

  TEST_CASE("files that pool rows make an embedding of a decoder, with or without its head") {
    const LoadedModel stated = EditedModel(kEmbedding).Convert();
    CHECK(stated.model().task()->kind() == fb::TaskKind::Embedding);
    const auto& pool = *stated.FindOp("pooled")->attributes_as_PoolRows();
    CHECK(pool.kind() == fb::PoolKind::Row);
    CHECK(pool.index() == -1);
    CHECK(stated.FindOp("sentence_embedding")->attributes_as_RmsNorm() != nullptr);
    const auto& attention = *stated.FindOp("model.layers.0.self_attn")->attributes_as_Attention();
    CHECK(attention.causal());
    CHECK(attention.kv_cache() == -1);
    CHECK(stated.FindTensor("lm_head.weight") == nullptr);

    EditedModel generates(kEmbedding);
    generates.Remove("modules.json");
    CHECK(generates.Convert().model().task()->kind() == fb::TaskKind::TextGeneration);
  }

  TEST_CASE("a bare decoder is an embedding whatever lies beside it") {
    const LoadedModel windows = EditedModel("architectures/mistral_embedding").Convert();
    CHECK(windows.FindOp("layers.0.self_attn")->attributes_as_Attention()->window() == 5);
    CHECK(windows.FindOp("sentence_embedding")->attributes_as_PoolRows()->kind() ==
          fb::PoolKind::Mean);
    EditedModel alone("architectures/mistral_embedding");
    alone.Remove("modules.json");
    const LoadedModel normalized = alone.Convert();
    CHECK(normalized.model().task()->kind() == fb::TaskKind::Embedding);
    CHECK(normalized.FindOp("pooled")->attributes_as_PoolRows()->kind() == fb::PoolKind::Mean);
  }

  TEST_CASE("a pooling that is not computed is refused, of decoders too") {
    EditedModel weighted(kEmbedding);
    weighted.Write("1_Pooling/config.json", R"({"pooling_mode_weightedmean_tokens": true})");
    CHECK(Contains(weighted.Failure(), "pooling_mode_weightedmean_tokens"));
    EditedModel dense(kEmbedding);
    dense.Write("modules.json", R"([{"type": "sentence_transformers.models.Dense", "path": ""}])");
    CHECK(Contains(dense.Failure(), "sentence_transformers.models.Dense"));
    EditedModel none(kEmbedding);
    none.Write("modules.json",
               R"([{"type": "sentence_transformers.models.Transformer", "path": ""}])");
    CHECK(Contains(none.Failure(), "lists no Pooling"));
    EditedModel heads(kEmbedding);
    heads.Edit("Qwen3ForCausalLM", "Qwen3DoubleHeadsModel");
    CHECK(Contains(heads.Failure(),
                   "\"Qwen3DoubleHeadsModel\"; of decoders this version converts "
                   "the bare model, ForCausalLM"));
  }
}

}  // namespace
}  // namespace graft::converter
