// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that opens a model and tells what it is.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "runtime/ops/make_plan.h"
#include "runtime/platform/data_source.h"
#include "runtime/tasks/text_model.h"
#include "runtime/tasks/transcribe.h"
#include "schema/generated/model_generated.h"
#include "schema/status.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

constexpr size_t kMemoryAlignment = 64;

static_assert(GRAFT_TASK_TENSORS == static_cast<int>(graft::schema::fb::TaskKind::Tensors));
static_assert(GRAFT_TASK_TEXT_GENERATION ==
              static_cast<int>(graft::schema::fb::TaskKind::TextGeneration));
static_assert(GRAFT_TASK_EMBEDDING == static_cast<int>(graft::schema::fb::TaskKind::Embedding));
static_assert(GRAFT_TASK_CLASSIFICATION ==
              static_cast<int>(graft::schema::fb::TaskKind::Classification));
static_assert(GRAFT_TASK_TOKEN_CLASSIFICATION ==
              static_cast<int>(graft::schema::fb::TaskKind::TokenClassification));
static_assert(GRAFT_CACHE_OFF == static_cast<int>(runtime::CacheState::kOff));
static_assert(GRAFT_CACHE_HIT == static_cast<int>(runtime::CacheState::kHit));
static_assert(GRAFT_CACHE_STORED == static_cast<int>(runtime::CacheState::kStored));
static_assert(GRAFT_CACHE_FAILED == static_cast<int>(runtime::CacheState::kFailed));

// What is wrong with the options OpenModel tells.
runtime::FileAccess AccessOf(const graft_model_options* options) {
  graft_model_options given;
  const bool reads = ReadStruct(options, "options", &given).ok() && given.read_file != 0;
  return reads ? runtime::FileAccess::kRead : runtime::FileAccess::kMap;
}

Status OpenModel(Result<std::unique_ptr<runtime::DataSource>> source, const char* path,
                 const char* name, const graft_model_options* options, graft_model** model) {
  if (!source.ok()) return source.status();
  graft_model_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  OpenedAs opened;
  opened.name = name;
  opened.base = std::move(source).value();
  opened.access = AccessOf(options);
  opened.options.check = runtime::CheckOps;
  opened.options.threads = given.threads;
  opened.options.verify_contents = given.verify_contents != 0;
  if (given.cache_folder != nullptr) opened.options.cache.folder = given.cache_folder;
  opened.options.memory_limit_bytes = given.memory_limit_bytes;
  if (given.cache_limit_bytes != 0) opened.options.cache.limit_bytes = given.cache_limit_bytes;
  GRAFT_RETURN_IF_ERROR(ReadTrustedKeys(given, &opened.trusted));
  GRAFT_RETURN_IF_ERROR(CheckSignature(*opened.base, {given.signature, given.signature_size, path},
                                       opened.trusted, given.threads, name));
  GRAFT_ASSIGN_OR_RETURN(auto made, WithPack(opened, given.pack));
  GRAFT_ASSIGN_OR_RETURN(auto text, runtime::TextModel::Open(std::move(made), opened.options,
                                                             NameOf(given.pack, name)));
  auto state = std::make_shared<const ModelState>(std::move(text));
  *model = new graft_model{std::make_shared<ModelSlot>(std::move(opened), std::move(state))};
  return OkStatus();
}

Status OpenMemory(const void* data, size_t size, const graft_model_options* options,
                  graft_model** model) {
  if (data == nullptr) return NullArgument("data");
  if (model == nullptr) return NullArgument("model");
  if (reinterpret_cast<uintptr_t>(data) % kMemoryAlignment != 0) {
    return Error(StatusCode::kInvalidArgument, "data is not aligned to %zu bytes",
                 kMemoryAlignment);
  }
  std::unique_ptr<runtime::DataSource> source(
      new (std::nothrow) runtime::MemorySource({static_cast<const uint8_t*>(data), size}));
  if (source == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a source");
  return OpenModel(std::move(source), nullptr, "memory", options, model);
}

Status GetInfo(const graft_model* model, graft_model_info* info) {
  if (model == nullptr) return NullArgument("model");
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(info, "info"));
  const std::shared_ptr<const ModelState> state = model->slot->state();
  const runtime::Model& shared = *state->text->model();
  const graft::schema::fb::Task& task = *shared.verified().model().task();
  graft_model_info filled{};
  filled.task = static_cast<int32_t>(task.kind());
  filled.architecture = task.architecture() == nullptr ? "" : task.architecture()->c_str();
  filled.context_tokens = shared.context_tokens();
  filled.vocabulary = shared.vocabulary();
  filled.has_chat_template = state->chat_template.exists();
  filled.takes_images = task.image() != nullptr;
  const graft::schema::GraphFacts& facts = shared.verified().facts();
  if (facts.source_ids != nullptr) filled.takes_source = GRAFT_SOURCE_TEXT;
  if (facts.source_features != nullptr) filled.takes_source = GRAFT_SOURCE_FEATURES;
  filled.takes_pictures = facts.image_patches != nullptr ? 1 : 0;
  filled.sample_rate = runtime::SampleRateOf(shared);
  filled.has_tokenizer = state->text->tokenizer() != nullptr;
  filled.file_bytes = shared.verified().file_bytes().size();
  filled.identity_high = shared.identity().high;
  filled.identity_low = shared.identity().low;
  filled.cache_state = static_cast<int32_t>(shared.packed_weights().cache_state());
  filled.packed_bytes = shared.packed_weights().bytes();
  const std::string note = shared.packed_weights().cache_note();
  note.copy(filled.cache_note, sizeof(filled.cache_note) - 1);
  WriteStruct(filled, info);
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_model_open(const char* path, const graft_model_options* options,
                                        graft_model** model, graft_error* error) {
  return Call(
      [&]() -> Status {
        if (path == nullptr) return NullArgument("path");
        if (model == nullptr) return NullArgument("model");
        return OpenModel(runtime::OpenPath(path, AccessOf(options)), path, path, options, model);
      },
      error);
}

GRAFT_API graft_status graft_model_open_fd(int fd, uint64_t offset, uint64_t size,
                                           const graft_model_options* options, graft_model** model,
                                           graft_error* error) {
  return Call(
      [&]() -> Status {
        if (model == nullptr) return NullArgument("model");
        return OpenModel(runtime::OpenDescriptor(fd, offset, size, AccessOf(options)), nullptr,
                         "file descriptor", options, model);
      },
      error);
}

GRAFT_API graft_status graft_model_open_memory(const void* data, size_t size,
                                               const graft_model_options* options,
                                               graft_model** model, graft_error* error) {
  return Call([&] { return OpenMemory(data, size, options, model); }, error);
}

GRAFT_API graft_status graft_model_swap(graft_model* model, const graft_pack* pack,
                                        graft_error* error) {
  return Call(
      [&]() -> Status {
        if (model == nullptr) return NullArgument("model");
        return model->slot->Swap(pack);
      },
      error);
}

GRAFT_API void graft_model_destroy(graft_model* model) { delete model; }

GRAFT_API graft_status graft_model_get_info(const graft_model* model, graft_model_info* info,
                                            graft_error* error) {
  return Call([&] { return GetInfo(model, info); }, error);
}
