// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/c_api/swept_models.h"

#include <cstdlib>
#include <fstream>
#include <utility>

#include <doctest/doctest.h>

#include "tests/runtime/tasks/scripted_model.h"
#include "tests/support/tiny_llama.h"

extern "C" bool cpuinfo_is_initialized;

namespace graft::test {

Opened::Opened(AlignedBytes bytes) : file(std::move(bytes)) {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 2;
  graft_error error = {};
  REQUIRE_MESSAGE(
      graft_model_open_memory(file.data(), file.size(), &options, &model, &error) == GRAFT_OK,
      error.message);
  REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
}

Opened::~Opened() {
  graft_session_destroy(session);
  graft_model_destroy(model);
}

namespace {

AlignedBytes TinyFile() {
  const TinyLlama llama(fb::TensorFormat::Int4Block);
  return AlignedBytes({llama.file().data(), llama.file().size()});
}

}  // namespace

OpenedTiny::OpenedTiny() : Opened(TinyFile()) {}

OpenedScripted::OpenedScripted() : Opened(ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9})) {}

Folder::Folder()
    : path_((std::filesystem::temp_directory_path() / "graft-allocations-XXXXXX").string()) {
  REQUIRE(mkdtemp(path_.data()) != nullptr);
}

void Folder::Write(const std::string& name, const AlignedBytes& bytes) const {
  std::ofstream file(path(name), std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  REQUIRE(file.good());
}

void Folder::Clear() const {
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    std::filesystem::remove(entry.path());
}

size_t Folder::CountOf(std::string_view part) const {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    count += entry.path().filename().string().find(part) == std::string::npos ? 0 : 1;
  return count;
}

std::string IdentityOf(graft_model* const& model) {
  graft_model_info info = {};
  info.struct_size = sizeof(info);
  REQUIRE(graft_model_get_info(model, &info, nullptr) == GRAFT_OK);
  return std::to_string(info.identity_high) + " " + std::to_string(info.identity_low) + " " +
         std::to_string(info.packed_bytes);
}

void ForgetCpu() { cpuinfo_is_initialized = false; }
void RememberCpu() { cpuinfo_is_initialized = true; }

}  // namespace graft::test
