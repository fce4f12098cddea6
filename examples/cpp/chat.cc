// SPDX-License-Identifier: Apache-2.0
// Answers a message by a model's own chat template: chat MODEL MESSAGE
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace {

void Check(graft_status status, const graft_error& error) {
  if (status != GRAFT_OK) throw std::runtime_error(error.message);
}

struct Destroy {
  void operator()(graft_model* model) const { graft_model_destroy(model); }
  void operator()(graft_session* session) const { graft_session_destroy(session); }
};
using Model = std::unique_ptr<graft_model, Destroy>;
using Session = std::unique_ptr<graft_session, Destroy>;

Model OpenModel(const char* path) {
  graft_model* model = nullptr;
  graft_error error{};
  Check(graft_model_open(path, nullptr, &model, &error), error);
  return Model(model);
}

Session CreateSession(graft_model* model) {
  graft_session* session = nullptr;
  graft_error error{};
  Check(graft_session_create(model, nullptr, &session, &error), error);
  return Session(session);
}

// The text that the model was trained to see for one message, as token ids.
std::vector<int32_t> Prompt(const graft_model* model, const std::string& message) {
  const graft_chat_message turn = {"user", message.c_str()};
  graft_error error{};
  std::string text(message.size() + 4096, '\0');
  size_t size = 0;
  Check(graft_model_render_chat(model, &turn, 1, nullptr, text.data(), text.size(), &size, &error),
        error);
  std::vector<int32_t> ids(size);  // a token stands for a byte at least
  size_t count = 0;
  Check(graft_model_tokenize(model, text.data(), size, 0, ids.data(), ids.size(), &count, &error),
        error);
  ids.resize(count);
  return ids;
}

int32_t Print(void*, int32_t, const char* text, size_t size) {
  std::cout.write(text, static_cast<std::streamsize>(size)).flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " MODEL MESSAGE\n";
    return 2;
  }
  try {
    const Model model = OpenModel(argv[1]);
    const Session session = CreateSession(model.get());
    const std::vector<int32_t> prompt = Prompt(model.get(), argv[2]);
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 40;
    graft_error error{};
    Check(graft_session_generate(session.get(), prompt.data(), prompt.size(), &options, Print,
                                 nullptr, nullptr, &error),
          error);
    std::cout << "\n";
  } catch (const std::exception& failure) {
    std::cerr << failure.what() << "\n";
    return 1;
  }
}
