// SPDX-License-Identifier: Apache-2.0
// Texts that a model writes by itself, token by token, all at once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "converter/calibrate/graph_runner.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Samples `texts` texts of `tokens_each` tokens from the model's own distribution, each from the
/// token that begins a text, or any one if there is none. Behind an end token another text begins.
/// The same tokens on every CPU and for any number of threads.
/// Returns   ids [texts, tokens_each].
Result<std::vector<int32_t>> WriteTexts(const schema::fb::Model& model, GraphRunner* runner,
                                        size_t texts, size_t tokens_each, uint64_t seed,
                                        int threads, const std::function<void(int64_t)>& progress);

}  // namespace graft::converter
