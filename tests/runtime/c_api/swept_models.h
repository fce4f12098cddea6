// SPDX-License-Identifier: Apache-2.0
// What the sweeps of failing allocations work on: tiny models with a session of two threads, files
// and folders.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include <graft/graft.h>
#include "tests/support/model_builder.h"

namespace graft::test {

/// A model and a session of two threads on it.
struct Opened {
  explicit Opened(AlignedBytes bytes);
  ~Opened();
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  AlignedBytes file;
  graft_model* model = nullptr;
  graft_session* session = nullptr;
};

/// A Llama of int4 weights.
struct OpenedTiny : Opened {
  OpenedTiny();
};

/// A model that has a tokenizer, and says 5 6 7 5 6 7 ... after 5.
struct OpenedScripted : Opened {
  OpenedScripted();
};

/// A temporary folder.
class Folder {
 public:
  Folder();
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const AlignedBytes& bytes) const;
  void Clear() const;
  /// Files whose names hold `part`.
  size_t CountOf(std::string_view part) const;

 private:
  std::string path_;
};

struct OpenFile {
  explicit OpenFile(const std::string& path)
      : descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() { close(descriptor); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  const int descriptor;
};

/// What a model is, whatever became of its cache.
std::string IdentityOf(graft_model* const& model);

/// Makes the next call look at the CPU as if it were the process's first, or not.
void ForgetCpu();
void RememberCpu();

/// The functions of session.h, generate.h, tensors.h and memory.h that take a session.
void SweepSessions();

}  // namespace graft::test
