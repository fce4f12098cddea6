// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/describe_model.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "converter/base/hub_cache.h"
#include "converter/base/input_file.h"
#include "converter/describe/image_files.h"
#include "converter/describe/picture_files.h"
#include "converter/describe/sentence_files.h"
#include "converter/describe/target_files.h"
#include "converter/json/json.h"
#include "converter/lower/architectures/pictures/vision_part.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/text_model.h"
#include "converter/lower/graph_builder.h"
#include "converter/merge/end_tokens.h"
#include "converter/tokenizer/chat_files.h"
#include "converter/tokenizer/tokenizer_files.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

// What the adapters bring; nothing without any.
const Companions& CompanionsOf(const OpenedModel& model) {
  static const Companions kNone;
  return model.merged ? model.merged->companions() : kNone;
}

// An adapter's own template and tokens, where it has them, before the base's.
Status DescribeChat(const Companions& companions, const fs::path& folder,
                    ModelDescription* description) {
  GRAFT_ASSIGN_OR_RETURN(ChatFiles files,
                         ChooseChat(companions.tokenizer, companions.chat, folder));
  description->chat_template = std::move(files.source);
  description->bos_token = std::move(files.bos_token);
  description->eos_token = std::move(files.eos_token);
  return OkStatus();
}

// A token outside the vocabulary is never generated. Files whose vocabulary was cut keep naming
// the old one, and transformers reads them.
Status LeaveOutUnknownTokens(const JsonValue& config, std::vector<uint32_t>* tokens) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t vocabulary,
                         config.GetInt("vocab_size", std::numeric_limits<int32_t>::max()));
  std::erase_if(*tokens, [&](uint32_t token) { return token >= vocabulary; });
  return OkStatus();
}

// As the merged checkpoint would have it.
Result<std::unique_ptr<JsonDocument>> ReadConfig(const OpenedModel& model, const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const ConfigChanges changes = model.merged ? model.merged->config_changes() : ConfigChanges();
  if (!changes.any()) return JsonDocument::Read(file);
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ChangedConfig(file, changes));
  return JsonDocument::Parse(text, file.string());
}

// How the task's texts become tokens. A text for an encoder is cut to what fits. A prompt is not:
// cut, it would be another prompt.
Result<TokenizerUse> FindTokenizerUse(const TokenizerDocument& document, const JsonValue& config,
                                      const TaskDescription& task,
                                      const SentenceSettings& sentences) {
  TokenizerUse use;
  use.keeps_truncation = task.task != Task::kTextGeneration;
  if (task.task != Task::kEmbedding) return use;
  // As sentence-transformers cuts: to its own limit, or to what tokenizer and model take.
  use.lowercases = sentences.lowercases;
  use.max_tokens = sentences.max_tokens;
  const auto limit = [&use](int64_t tokens) {
    if (tokens > 0) use.max_tokens = std::min(use.max_tokens.value_or(tokens), tokens);
  };
  if (!use.max_tokens) {
    const char* key = document.settings().Has("model_max_length") ? "model_max_length" : "max_len";
    GRAFT_ASSIGN_OR_RETURN(const double longest, document.settings().GetDouble(key, 0));
    if (longest >= 1 && longest < std::numeric_limits<int32_t>::max())
      limit(static_cast<int64_t>(longest));
    GRAFT_ASSIGN_OR_RETURN(const int64_t positions, config.GetInt("max_position_embeddings", 0));
    limit(positions);
  }
  limit(task.context_tokens);
  const JsonValue truncation = document.Find("truncation");
  GRAFT_ASSIGN_OR_RETURN(const std::string direction, truncation.GetString("direction", "Right"));
  GRAFT_ASSIGN_OR_RETURN(
      const std::string side,
      document.settings().GetString("truncation_side", direction == "Left" ? "left" : "right"));
  use.cuts_start = side == "left";
  return use;
}

Result<flatbuffers::Offset<schema::fb::Tokenizer>> DescribeTokenizer(
    const OpenedModel& model, const fs::path& folder, const JsonValue& config,
    const JsonValue& text_config, const TaskDescription& task, const SentenceSettings& sentences,
    TargetDescription* target, flatbuffers::FlatBufferBuilder& header) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t vocabulary,
                         text_config.GetInt("vocab_size", std::numeric_limits<int32_t>::max()));
  const fs::path& own = CompanionsOf(model).tokenizer;
  const fs::path& from = own.empty() ? folder : own;
  GRAFT_ASSIGN_OR_RETURN(const TokenizerContext context, ContextOf(config));
  GRAFT_ASSIGN_OR_RETURN(const auto document, ReadTokenizerFiles(from, context));
  if (document == nullptr) {
    if (own.empty()) return flatbuffers::Offset<schema::fb::Tokenizer>();
    return Error(StatusCode::kUnsupported,
                 "%s: has a tokenizer in a form that this version does not read; save it with "
                 "transformers, which writes tokenizer.json, or remove it to use the base's",
                 own.c_str());
  }
  if (target != nullptr) {
    GRAFT_RETURN_IF_ERROR(
        AddLanguages(document->Find("added_tokens"), document->settings(), target));
  }
  GRAFT_ASSIGN_OR_RETURN(const TokenizerUse use,
                         FindTokenizerUse(*document, text_config, task, sentences));
  GRAFT_ASSIGN_OR_RETURN(const auto tokenizer, BuildTokenizer(header, *document, use));
  const auto* table = flatbuffers::GetTemporaryPointer(header, tokenizer);
  const int64_t tokens = static_cast<int64_t>(table->token_offsets()->size()) - 1;
  if (tokens <= vocabulary) return tokenizer;
  return Error(StatusCode::kMismatch,
               "%s: has %lld tokens, but the embedding of the %s has %lld rows%s",
               document->name().c_str(), static_cast<long long>(tokens),
               model.merged ? "merged model" : "model", static_cast<long long>(vocabulary),
               own.empty() ? ""
                           : "; the adapter was saved without the resized embeddings that its "
                             "tokenizer needs (in PEFT: save_embedding_layers), or the "
                             "tokenizer beside it is not its own: remove it to use the base's");
}

// "ties 0.5", or empty where there was nothing to combine.
std::string CombinedBy(const CombineRule& rule, size_t adapters) {
  std::string text = CombineMethodName(rule.method);
  if (rule.method == CombineMethod::kSum) return adapters > 1 ? text : std::string();
  std::array<char, 32> density{};
  std::snprintf(density.data(), density.size(), " %g", rule.density);
  return text + density.data();
}

// How images are prepared; a model whose preparation is not computed takes numbers.
Status DescribeImages(const fs::path& folder, TaskDescription* task) {
  if (!task->image.has_value()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const bool computes, ComputesPreparation(folder));
  if (computes) return ReadImagePreparation(folder, &*task->image);
  task->image.reset();
  task->task = Task::kTensors;
  task->labels.clear();
  return OkStatus();
}

Status DescribeConfigured(const OpenedModel& model, const fs::path& folder, GraphBuilder& graph,
                          flatbuffers::FlatBufferBuilder& header, ModelDescription* description) {
  GRAFT_ASSIGN_OR_RETURN(const auto document, ReadConfig(model, folder));
  const JsonValue config = document->root();
  // BitNet's layers round their weights each time they run, whatever the checkpoint stores.
  const JsonValue quantization = config.Find("quantization_config");
  GRAFT_ASSIGN_OR_RETURN(const std::string method, quantization.IsObject()
                                                       ? quantization.GetString("quant_method", "")
                                                       : std::string());
  if (method == "bitnet") {
    return quantization.Fail("asks for layers that quantize while they run, which graft does not",
                             StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const TextModel text, FindTextModel(config, graph));
  GRAFT_ASSIGN_OR_RETURN(Lowering* const lower, FindLowering(text.config));
  const Companions& companions = CompanionsOf(model);
  GRAFT_ASSIGN_OR_RETURN(
      EndTokens end,
      FindEndTokens(folder, config.Has("eos_token_id") ? config : text.config, companions));
  description->end_tokens = std::move(end.ids);
  GRAFT_RETURN_IF_ERROR(LeaveOutUnknownTokens(text.config, &description->end_tokens));
  GRAFT_RETURN_IF_ERROR(DescribeChat(companions, folder, description));
  GRAFT_ASSIGN_OR_RETURN(const SentenceSettings sentences,
                         ReadSentenceSettings(folder, companions.sentences));
  description->task.pooling = sentences.pooling;
  description->task.tied = text.tied;
  description->task.long_context = model.long_context;
  if (model.long_context && !text.config.Has("rope_parameters") &&
      !text.config.Has("rope_scaling")) {
    return text.config.Fail("has no rope that a longer context could be wanted of",
                            StatusCode::kUnsupported);
  }
  const fs::path& images = companions.images.empty() ? folder : companions.images;
  GRAFT_RETURN_IF_ERROR(FindPreparedSize(images, &description->task.prepared_height,
                                         &description->task.prepared_width));
  if (!model.text_only) {
    GRAFT_ASSIGN_OR_RETURN(description->task.vision, FindVisionPart(config, graph));
  }
  GRAFT_RETURN_IF_ERROR(lower(text.config, graph, &description->task));
  TaskDescription& task = description->task;
  if (task.pictures) {
    const fs::path& tokens = companions.tokenizer.empty() ? folder : companions.tokenizer;
    GRAFT_RETURN_IF_ERROR(ReadPictureFiles(images, tokens, &*task.pictures));
  }
  GRAFT_RETURN_IF_ERROR(DescribeImages(images, &task));
  if (task.target.has_value()) {
    GRAFT_RETURN_IF_ERROR(ReadTarget(companions.generation.empty() ? folder : companions.generation,
                                     images, text.config, &*task.target));
  }
  // Of models that translate between many languages, the tokenizer knows which.
  const bool many = task.architecture == "m2m_100" || task.architecture == "mbart";
  TargetDescription* const target = many && task.target ? &*task.target : nullptr;
  if (task.task == Task::kEmbedding) task.prompt = sentences.prompt;
  GRAFT_ASSIGN_OR_RETURN(
      description->tokenizer,
      DescribeTokenizer(model, folder, config, text.config, task, sentences, target, header));
  return OkStatus();
}

// Where config.json lies. A file that is named alone is not called "./config.json".
fs::path FolderOf(const OpenedModel& model) {
  if (model.base->is_gguf()) return model.base->folder();
  std::error_code ignored;
  return fs::is_directory(model.path, ignored) ? model.path : model.path.parent_path();
}

// What the graph leaves out. A tensor that an adapter changed must not be among it: the change
// would silently be lost.
Status FindUnused(const OpenedModel& model, std::span<const std::string> numbers_of,
                  ModelDescription* description) {
  std::set<std::string, std::less<>> used;
  for (const Constant& constant : description->constants) {
    used.insert(constant.part.source);
    used.insert(constant.part.sources.begin(), constant.part.sources.end());
  }
  used.insert(numbers_of.begin(), numbers_of.end());
  if (model.stack) used.merge(TensorsOf(*model.stack));
  for (const TensorInfo& info : model.source().tensors()) {
    if (used.contains(info.name)) continue;
    // A head that only left its tie with the embedding is none of a model that pools or scores.
    const TensorReport* report = model.merged ? model.merged->ReportOf(info.name) : nullptr;
    if (report != nullptr && report->kind == "untied") continue;
    if (model.source().IsAdapted(info.name)) {
      return Error(StatusCode::kUnsupported,
                   "%s: the adapter changes tensor '%s', which a model of type %s does not use",
                   model.path.c_str(), info.name.c_str(), description->task.architecture.c_str());
    }
    // Old checkpoints store what rotary positions are computed from, and causal masks; batch norms
    // how often they were trained.
    const bool is_buffer = info.name.ends_with("rotary_emb.inv_freq") ||
                           (info.shape.size() == 4 && info.name.ends_with(".bias")) ||
                           info.name.ends_with(".masked_bias") ||
                           info.name.ends_with("num_batches_tracked");
    if (is_buffer) continue;
    description->unused.push_back(info.name);
  }
  return OkStatus();
}

}  // namespace

Result<OpenedModel> OpenModel(const fs::path& path, std::span<const AdapterSpec> adapters,
                              const MergeRules& rules) {
  OpenedModel model;
  model.path = path;
  GRAFT_ASSIGN_OR_RETURN(model.base, Checkpoint::Open(path));
  const fs::path folder = FolderOf(model);
  if (const fs::path description = folder / "graft.json"; Exists(description)) {
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(description));
    GRAFT_ASSIGN_OR_RETURN(model.stack, ReadLayerStack(*document));
  } else if (!Exists(folder / "config.json")) {
    model.stack = GuessLayerStack(*model.base);
    if (!model.stack) {
      return Error(StatusCode::kNotFound,
                   "%s: has neither config.json nor graft.json to say what the model computes",
                   path.c_str());
    }
  }

  if (!adapters.empty()) {
    GRAFT_ASSIGN_OR_RETURN(model.merged, MergedSource::Open(model.base, adapters, rules));
  }
  if (model.stack) {
    GRAFT_ASSIGN_OR_RETURN(model.with_inline_loras,
                           MergeInlineLoras(*model.stack, model.source(), path.string()));
  }
  return model;
}

Result<ModelDescription> DescribeModel(const OpenedModel& model,
                                       flatbuffers::FlatBufferBuilder& header) {
  const std::string name = model.path.string();
  ModelDescription description;
  GraphBuilder graph(model.source(), name, header);
  if (model.stack) {
    GRAFT_RETURN_IF_ERROR(
        LowerLayerStack(*model.stack, model.source(), name, graph, &description.task));
  } else {
    GRAFT_RETURN_IF_ERROR(DescribeConfigured(model, FolderOf(model), graph, header, &description));
  }
  GRAFT_ASSIGN_OR_RETURN(description.graph, graph.Finish());
  description.constants = graph.constants();
  GRAFT_RETURN_IF_ERROR(FindUnused(model, graph.numbers_of(), &description));
  description.base_name = FolderName(model.path);
  description.base_stored_as = model.base->stored_as();
  if (model.with_inline_loras) {
    for (const StackLayer& layer : model.stack->layers) {
      if (!layer.lora) continue;
      const int64_t rank = model.source().Find(layer.lora->a)->rows();
      description.adapted[layer.weight] = AdaptedTensor{"lora", rank, layer.lora->ScaleFor(rank)};
    }
  }
  if (model.merged == nullptr) return description;
  description.adapters = model.merged->report().adapters;
  std::stable_sort(description.adapters.begin(), description.adapters.end(), ComesBefore);
  const MergeRules& rules = model.merged->rules();
  if (rules.nf4_base.has_value()) {
    description.base_rounding =
        rules.nf4_base->double_quantization ? "nf4 double-quantized" : "nf4";
  }
  description.combined_by = CombinedBy(rules.combine, model.merged->report().adapters.size());
  for (const TensorReport& tensor : model.merged->report().tensors) {
    description.adapted[tensor.name] = AdaptedTensor{tensor.kind, tensor.rank, tensor.scale};
  }
  return description;
}

}  // namespace graft::converter
