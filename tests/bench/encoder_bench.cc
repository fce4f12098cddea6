// SPDX-License-Identifier: Apache-2.0
// Times a model of texts: encoder_bench FILE.graft TOKENS THREADS ROUNDS prints the milliseconds of
// each round, of one text of so many tokens.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <graft/graft.h>

namespace {

int Fail(const graft_error& error) {
  std::fprintf(stderr, "encoder_bench: %s\n", error.message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: encoder_bench FILE.graft TOKENS THREADS ROUNDS\n");
    return 2;
  }
  const long tokens = std::atol(argv[2]);
  const long rounds = std::atol(argv[4]);
  if (tokens < 1 || tokens > 1 << 16 || rounds < 1) return 2;
  graft_error error = {};
  graft_model* model = nullptr;
  if (graft_model_open(argv[1], nullptr, &model, &error) != GRAFT_OK) return Fail(error);
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = static_cast<uint32_t>(std::atol(argv[3]));
  graft_session* session = nullptr;
  if (graft_session_create(model, &options, &session, &error) != GRAFT_OK) return Fail(error);

  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(1000 + i * 37 % 20000);
  graft_tensor input = {};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 2;
  input.shape[0] = 1;
  input.shape[1] = tokens;
  input.data = ids.data();
  constexpr long kWarmUps = 3;
  for (long round = -kWarmUps; round < rounds; ++round) {
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    const auto start = std::chrono::steady_clock::now();
    if (graft_session_forward(session, &input, 1, &outputs, &count, &error) != GRAFT_OK)
      return Fail(error);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (round >= 0) std::printf("%.4f\n", took.count());
  }
  graft_session_destroy(session);
  graft_model_destroy(model);
  return 0;
}
