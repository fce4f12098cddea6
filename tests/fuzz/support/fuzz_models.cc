// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/support/fuzz_models.h"

#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/runtime/tasks/scripted_model.h"
#include "tests/support/tiny_llama.h"

namespace graft::fuzz {
namespace {

std::atomic<graft_session*> watched_session{nullptr};

void Stop(int /*signal*/) { graft_session_cancel(watched_session.load()); }

void SetTimer(int seconds) {
  itimerval timer = {};
  timer.it_value.tv_sec = timer.it_interval.tv_sec = seconds;
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);  // libFuzzer has the timer of real time
}

}  // namespace

OpenedModel::OpenedModel(test::AlignedBytes bytes, const char* cache_folder)
    : bytes_(std::move(bytes)) {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 1;
  options.cache_folder = cache_folder;
  options.memory_limit_bytes = 256u << 20;
  if (graft_model_open_memory(bytes_.data(), bytes_.size(), &options, &model_, nullptr) != GRAFT_OK)
    return;
  graft_session_options session = GRAFT_SESSION_OPTIONS_INIT;
  session.threads = 1;
  session.context_tokens = 24;
  session.prefill_chunk = 5;
  if (graft_session_create(model_, &session, &session_, nullptr) == GRAFT_OK) return;
  session.context_tokens = 0;  // of a model that has no such thing
  if (graft_session_create(model_, &session, &session_, nullptr) != GRAFT_OK) session_ = nullptr;
}

OpenedModel::~OpenedModel() {
  graft_session_destroy(session_);
  graft_model_destroy(model_);
}

Watch::Watch(graft_session* session) {
  watched_session = session;
  signal(SIGVTALRM, Stop);
  SetTimer(1);
}

Watch::~Watch() {
  SetTimer(0);
  watched_session = nullptr;
}

const std::string& Folder() {
  // Never destroyed: what removes the folder runs at exit.
  static const std::string& folder = *new std::string([] {
    std::string name = std::filesystem::is_directory("/dev/shm") ? "/dev/shm/graft_fuzz_XXXXXX"
                                                                 : "/tmp/graft_fuzz_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    std::atexit([] { std::filesystem::remove_all(Folder()); });
    return name;
  }());
  return folder;
}

std::string WriteFile(const std::string& name, std::span<const uint8_t> bytes) {
  const std::string path = Folder() + "/" + name;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return path;
}

test::AlignedBytes TextModel() { return test::ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9}); }

test::AlignedBytes PackedModel() {
  const test::TinyLlama llama(test::fb::TensorFormat::Int4Block);
  return test::AlignedBytes({llama.file().data(), llama.file().size()});
}

}  // namespace graft::fuzz
