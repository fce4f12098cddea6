// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/write_texts.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>

#include "converter/base/parallel.h"
#include "converter/calibrate/numbers/products.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

/// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t NextRandom(uint64_t* state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

/// In [0, 1).
double NextUniform(uint64_t* state) {
  return static_cast<double>(NextRandom(state) >> 11) * 0x1p-53;
}

/// A token drawn from softmax(logits).
int32_t Draw(std::span<const float> logits, uint64_t* state) {
  const double top = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights(logits.begin(), logits.end());
  for (double& weight : weights) weight -= top;
  FixedExps(weights.data(), weights.size());
  double left = NextUniform(state) * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(logits.size()) - 1;
}

/// The tokens a text may begin with.
class Beginnings {
 public:
  Beginnings(const schema::fb::Model& model, size_t vocabulary) : vocabulary_(vocabulary) {
    const schema::fb::Tokenizer* tokenizer = model.tokenizer();
    if (tokenizer == nullptr) return;
    if (tokenizer->prefix_ids() != nullptr && tokenizer->prefix_ids()->size() > 0) {
      first_ = static_cast<int32_t>(tokenizer->prefix_ids()->Get(0));
    }
    if (tokenizer->added_tokens() == nullptr) return;
    for (const schema::fb::AddedToken* added : *tokenizer->added_tokens()) {
      added_.insert(added->id());
      if (first_ < 0 && model.bos_token() != nullptr &&
          added->content()->string_view() == model.bos_token()->string_view()) {
        first_ = static_cast<int32_t>(added->id());
      }
    }
  }

  /// -1: any token may begin one.
  int32_t first() const { return first_; }

  int32_t Next(uint64_t* state) const {
    if (first_ >= 0 && static_cast<size_t>(first_) < vocabulary_) return first_;
    uint64_t id = NextRandom(state) % vocabulary_;
    for (int i = 0; i < 100 && added_.contains(static_cast<uint32_t>(id)); ++i) {
      id = NextRandom(state) % vocabulary_;
    }
    return static_cast<int32_t>(id);
  }

 private:
  size_t vocabulary_;
  int32_t first_ = -1;
  std::set<uint32_t> added_;  // markers: no text begins with any of them
};

/// One text on its way.
class Writer {
 public:
  Writer(const Beginnings& beginnings, const ChatFrame* chat,
         const flatbuffers::Vector<uint32_t>* ends, uint64_t seed)
      : beginnings_(beginnings), chat_(chat), ends_(ends), state_(seed) {
    now_ = Begin();
  }

  int32_t now() const { return now_; }

  /// Goes on behind the token that is now, of which the model gave `logits`.
  void Next(std::span<const float> logits) { now_ = Choose(logits); }

 private:
  int32_t Begin() {
    asks_ = chat_ != nullptr;
    asked_ = 0;
    if (asks_) {
      forced_ = chat_->before_question;
      return forced_.front();
    }
    begins_ = true;
    return beginnings_.Next(&state_);
  }

  int32_t Choose(std::span<const float> logits) {
    if (forced_.size() > 1) {
      forced_ = forced_.subspan(1);
      return forced_.front();
    }
    const bool ends = !begins_ && forced_.empty() && IsEnd(now_);
    const bool answers = asked_ > 0 && now_ == chat_answer();
    if (asks_ && (ends || answers || asked_ == kMostAsked)) return Answer(logits);
    // A token that began a text may be one that ends texts, too.
    if (ends) return Begin();
    forced_ = {};
    ++asked_;
    const int32_t next = Draw(logits, &state_);
    begins_ = chat_ == nullptr && next == beginnings_.first();
    return next;
  }

  // A question is over, with the token that goes before answers or another.
  int32_t Answer(std::span<const float> logits) {
    asks_ = false;
    forced_ = chat_->before_answer;
    if (now_ == forced_.front()) forced_ = forced_.subspan(1);
    return forced_.empty() ? Draw(logits, &state_) : forced_.front();
  }
  int32_t chat_answer() const { return chat_ == nullptr ? -1 : chat_->before_answer.front(); }

  bool IsEnd(int32_t token) const {
    return ends_ != nullptr &&
           std::find(ends_->begin(), ends_->end(), static_cast<uint32_t>(token)) != ends_->end();
  }

  // Tokens of a question that does not end.
  static constexpr int kMostAsked = 96;

  const Beginnings& beginnings_;
  const ChatFrame* chat_;  // null: plain texts
  const flatbuffers::Vector<uint32_t>* ends_;
  uint64_t state_;
  int32_t now_ = 0;
  bool begins_ = false;  // whether the token that is now begins a plain text
  bool asks_ = false;    // whether a question is being written
  int asked_ = 0;
  std::span<const int32_t> forced_;  // from the token that is now on, those that stand fast
};

size_t VocabularyOf(const schema::fb::Graph& graph) {
  const auto output = static_cast<unsigned>(graph.outputs()->Get(0));
  return static_cast<size_t>(graph.values()->Get(output)->shape()->Get(1)->size());
}

}  // namespace

Result<std::vector<int32_t>> WriteTexts(const schema::fb::Model& model, GraphRunner* runner,
                                        const TextPlan& plan, int threads,
                                        const std::function<void(int64_t)>& progress) {
  const schema::fb::Graph& graph = *model.graph();
  const size_t vocabulary = VocabularyOf(graph);
  const Beginnings beginnings(model, vocabulary);
  const size_t texts = plan.texts, tokens_each = plan.tokens_each;
  std::vector<Writer> writers;
  for (size_t i = 0; i < texts; ++i) {
    const ChatFrame* chat = plan.chat.empty() ? nullptr : &plan.chat;
    writers.emplace_back(beginnings, chat, model.task()->end_tokens(),
                         plan.seed * 0x9E3779B97F4A7C15 + i * 0xD1B54A32D192ED03);
  }
  GRAFT_RETURN_IF_ERROR(runner->KeepPast(texts, tokens_each));
  std::vector<int32_t> ids(texts * tokens_each), now(texts);
  for (size_t t = 0; t < tokens_each; ++t) {
    for (size_t i = 0; i < texts; ++i) ids[i * tokens_each + t] = now[i] = writers[i].now();
    if (t + 1 == tokens_each) break;
    const Batch batch{texts, 1, t, tokens_each, now.data()};
    GRAFT_RETURN_IF_ERROR(runner->Run(batch, {}, std::numeric_limits<size_t>::max()));
    GRAFT_RETURN_IF_ERROR(ParallelFor(threads, static_cast<int64_t>(texts), [&](int64_t task) {
      const auto i = static_cast<size_t>(task);
      writers[i].Next(runner->output().subspan(i * vocabulary, vocabulary));
      return OkStatus();
    }));
    if (progress) progress(static_cast<int64_t>(t + 1));
  }
  return ids;
}

}  // namespace graft::converter
