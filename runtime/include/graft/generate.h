/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: appends tokens to a session, and generates more. */
#ifndef GRAFT_GENERATE_H_
#define GRAFT_GENERATE_H_

#include <graft/session.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Something added to the logit of a token; -INFINITY: it never comes. Never grows. */
typedef struct graft_token_bias {
  int32_t id;
  float bias;
} graft_token_bias;

/* How likely a token was to the model itself: before biases, penalties, filters and constraints. */
typedef struct graft_token_logprobs {
  size_t struct_size;
  int32_t id;
  float logprob; /* a natural logarithm; NAN: not computed, for it had to follow */
  /* The `count` likeliest tokens, the likeliest first. 0 where logprob is NAN. */
  const int32_t* ids;
  const float* logprobs;
  size_t count;
} graft_token_logprobs;

/* Called on the generating thread for each token, before the graft_token_callback is. What it is
 * given lives until it returns. It must return, as that must. */
typedef void (*graft_logprobs_callback)(void* user, const graft_token_logprobs* logprobs);

/* How the next token is chosen. What changes logits applies in the order biases, repeat_penalty,
 * presence_penalty and frequency_penalty, temperature, top_k, top_p, min_p. What the struct points
 * to is read during the call. */
typedef struct graft_generate_options {
  size_t struct_size;
  uint32_t max_tokens;    /* default 256; never beyond the context */
  float temperature;      /* 0: the likeliest token */
  uint32_t top_k;         /* 0: off */
  float top_p;            /* 0 or 1: off */
  float min_p;            /* 0: off */
  float repeat_penalty;   /* 0 or 1: off; > 1 makes tokens seen lately less likely */
  uint32_t repeat_window; /* how many tokens back; default 64 */
  uint64_t seed;
  const char* const* stop; /* stop_count strings: generation ends before the first that appears */
  size_t stop_count;
  uint8_t ignore_end; /* 1: go on after the model's end-of-text tokens */
  /* 1: the prompt is the whole text, not what comes after the tokens held.
   * graft_session_keep_prefix is done first, so that only what is new is computed. */
  uint8_t whole_prompt;
  /* What the text must be: at most one of the four is given. The model's end-of-text tokens then
   * come where the text may end, and nowhere else. See docs/answers.md. */
  const char* json_schema;    /* JSON that this JSON Schema allows */
  const char* regex;          /* what this regular expression matches as a whole */
  const char* grammar;        /* what this grammar allows: GBNF, as llama.cpp has it */
  const char* const* choices; /* one of choice_count texts */
  size_t choice_count;
  const char* constraint_trigger; /* it holds from where this text has come; NULL: at once */
  uint8_t json_in_order;          /* 1: properties stand in the schema's order; 0: in any */
  /* Functions that the model may call, as graft_chat_options has them: calls in the text are of
   * them, with arguments that they take. With json_schema, what is no call is that JSON. The text
   * has the marks of calls and thinking, for a graft_reply. */
  const char* tools;
  /* As graft_reply_options.format. Not NULL without tools: the text has the marks. */
  const char* reply_format;
  const graft_token_bias* biases; /* bias_count of them */
  size_t bias_count;
  /* Taken off the logits of tokens generated before: once, and once for each time. -100 to 100. */
  float presence_penalty;
  float frequency_penalty;
  graft_logprobs_callback on_logprobs; /* NULL: not computed */
  uint32_t logprob_count;              /* of the likeliest tokens that it is told; up to 1000 */
  /* Tokens may be guessed, so that fewer passes over the weights compute them. The answer is the
   * same with and without, and where guessing does not pay it stops by itself. See docs/answers.md.
   * A session on a smaller model, which has the same tokens. The call is one on that session, too,
   * and leaves it with tokens of this one. NULL: none. */
  graft_session* draft_session;
  /* 1: guess by what followed the last tokens earlier in the text; 2: and that always, whether it
   * pays or not, to measure it */
  uint8_t speculate;
  /* With tools: NULL or "auto": the model calls one if it likes; "required": the answer is calls and
   * nothing else; a function's name: calls of that one. Not with json_schema, unless it is "auto". */
  const char* tool_choice;
} graft_generate_options;
#define GRAFT_GENERATE_OPTIONS_INIT                                                                \
  {                                                                                                \
    sizeof(graft_generate_options), 0, 0.0f, 0, 0.0f, 0.0f, 0.0f, 0, 0, NULL, 0, 0, 0, NULL, NULL, \
        NULL, NULL, 0, NULL, 0, NULL, NULL, NULL, 0, 0.0f, 0.0f, NULL, 0, NULL, 0, NULL            \
  }

#define GRAFT_STOP_END_TOKEN 0
#define GRAFT_STOP_STRING 1
#define GRAFT_STOP_MAX_TOKENS 2
#define GRAFT_STOP_CONTEXT 3
#define GRAFT_STOP_CALLBACK 4
#define GRAFT_STOP_COMPLETE 5 /* the text is what it must be, and nothing may or can follow */

/* How a generation went. */
typedef struct graft_generate_result {
  size_t struct_size; /* set by the caller */
  size_t prompt_tokens;
  size_t generated_tokens;
  uint64_t prefill_ns;
  uint64_t decode_ns;
  int32_t stop_reason;    /* GRAFT_STOP_... */
  size_t reused_tokens;   /* of the prompt, that were held already; prefill_ns is the others' */
  size_t drafted_tokens;  /* guessed */
  size_t accepted_tokens; /* of them, that were right */
} graft_generate_result;

/* Called on the generating thread for each token, with its id and the text that became certain:
 * always whole UTF-8 characters, possibly none (size 0). After the last token it is called once
 * with id -1 if text is left. text is graft's, is not terminated, and lives until the callback
 * returns. Of the session's functions it may call graft_session_cancel only. Return 0 to go on, 1
 * to stop. It must return: neither an exception nor longjmp may leave it. */
typedef int32_t (*graft_token_callback)(void* user, int32_t id, const char* text, size_t size);

/* Appends the prompt (ids) to what the session holds, and generates. `callback` and `result` may be
 * NULL. An end token is neither handed out nor counted. The last token handed out is not yet held
 * by the session: to go on from it, make it the first of the next prompt. prompt, options and
 * *result are the caller's. An encoder-decoder needs no prompt: without one it answers to its source
 * from the start, with what graft_model_start_tokens gives.
 * Thread   The session's.
 * Errors   As graft_session_append.
 *          INVALID_ARGUMENT: no prompt, but for an encoder-decoder; a sampling option out of its
 *          range, stop strings without a tokenizer or that are not valid UTF-8, two constraints, one
 *          with ignore_end, or one that is malformed or that no text satisfies; a bias of a token
 *          that is none; a reply_format that is not known; a tool_choice that is no function; a
 *          draft_session that is the session itself.
 *          UNSUPPORTED: a constraint with what is not supported, which the message names.
 *          FAILED_PRECONDITION: a constraint without a tokenizer, or none of its tokens spells what
 *          must follow.
 *          OUT_OF_RANGE: a constraint that is too ambiguous to follow within bounds.
 *          MISMATCH: a draft_session whose model has other tokens.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status
graft_session_generate(graft_session* session, const int32_t* prompt, size_t prompt_count,
                       const graft_generate_options* options, graft_token_callback callback,
                       void* user, graft_generate_result* result, graft_error* error);

/* Appends `count` tokens to what the session holds, in chunks. *logits (may be NULL) receives
 * `vocabulary` floats for the last token. They are the session's and live until its next call. ids
 * are the caller's. After a failure nothing was appended.
 * Thread   The session's.
 * Errors   OUT_OF_RANGE: the context is full, or an id is not in the vocabulary.
 *          UNSUPPORTED: the model does not generate text.
 *          FAILED_PRECONDITION: an encoder-decoder that no source was set for.
 *          CANCELLED, OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_session_append(graft_session* session,
                                                             const int32_t* ids, size_t count,
                                                             const float** logits,
                                                             graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_GENERATE_H_ */
