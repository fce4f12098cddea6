// SPDX-License-Identifier: Apache-2.0
// Prints the ids of 32 tokens after the first: tokens MODEL FIRST_ID
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <vector>

#include <graft/graft.h>

namespace {

// Exceptions are the program's own business: graft throws none, but may be called by who does.
struct Failure : std::runtime_error {
  explicit Failure(const graft_error& error) : std::runtime_error(error.message) {}
};

std::vector<int32_t> Continue(const char* path, int32_t first) {
  graft_error error{};
  graft_model* model = nullptr;
  if (graft_model_open(path, nullptr, &model, &error) != GRAFT_OK) throw Failure(error);
  const std::unique_ptr<graft_model, void (*)(graft_model*)> model_owner(model,
                                                                         graft_model_destroy);
  graft_session* session = nullptr;
  if (graft_session_create(model, nullptr, &session, &error) != GRAFT_OK) throw Failure(error);
  const std::unique_ptr<graft_session, void (*)(graft_session*)> session_owner(
      session, graft_session_destroy);
  std::vector<int32_t> ids;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = 32;
  const auto collect = [](void* user, int32_t id, const char*, size_t) -> int32_t {
    if (id >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(id);
    return 0;
  };
  if (graft_session_generate(session, &first, 1, &options, collect, &ids, nullptr, &error) !=
      GRAFT_OK)
    throw Failure(error);
  return ids;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    for (const int32_t id : Continue(argv[1], std::atoi(argv[2]))) std::cout << id << "\n";
  } catch (const Failure& failure) {
    std::cerr << failure.what() << "\n";
    return 1;
  }
}
