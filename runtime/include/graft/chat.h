/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: writes messages as the text that a model was trained to see. */
#ifndef GRAFT_CHAT_H_
#define GRAFT_CHAT_H_

#include <graft/model.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One message of a conversation. Terminated; the caller's. Never grows. */
typedef struct graft_chat_message {
  const char* role; /* "system", "user", "assistant" */
  const char* content;
} graft_chat_message;

/* Something that a template may ask for by name. "true" and "false" are truth values; anything else
 * is a text. Terminated; the caller's. Never grows. */
typedef struct graft_chat_variable {
  const char* name; /* such as "enable_thinking" */
  const char* value;
} graft_chat_variable;

/* How graft_model_render_chat writes. Zeros are defaults. What the struct points to is read during
 * the call. */
typedef struct graft_chat_options {
  size_t struct_size;
  uint8_t without_generation_prompt; /* 1: do not end with what an answer begins with */
  const char* template_text;         /* a Jinja template in place of the file's; NULL: the file's */
  const graft_chat_variable* variables; /* variable_count of them */
  size_t variable_count;
  int64_t now_seconds; /* what the template takes the time to be, since 1970; default: the clock */
  /* JSON that the template sees as transformers gives it; NULL: none. */
  const char* messages_json;  /* a list of messages, with calls and their results, in place of
                                `messages` */
  const char* tools;          /* a list of functions that the model may call */
  const char* documents;      /* a list of objects */
  const char* variables_json; /* an object of further variables, of any type */
  /* Of each of `messages`, how many pictures go before its text. If it is not NULL, the template is
   * given contents as lists of parts, {"type": "image"} and {"type": "text", "text": ...}. */
  const size_t* message_pictures;
} graft_chat_options;
#define GRAFT_CHAT_OPTIONS_INIT \
  { sizeof(graft_chat_options), 0, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL }

/* Gives the text the model was trained to see for `messages`, by its own chat template, as
 * transformers' apply_chat_template does. It follows the rule of capacity, with *size in bytes, and
 * is not terminated. It holds the special tokens it needs: tokenize it with add_special 0. The
 * template is a program from the model's file: what it may compute is bounded. It is parsed once
 * for a model; one in options is parsed in each call. `options` may be NULL.
 * Thread   Any.
 * Errors   FAILED_PRECONDITION: no chat template.
 *          INVALID_ARGUMENT: the template refuses the messages, a text is not valid UTF-8, a JSON is
 *          not what it must be, messages in both ways.
 *          CORRUPT, UNSUPPORTED: a template that cannot be run.
 *          OUT_OF_RANGE: capacity; a template that takes too many steps, too much memory or output.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_model_render_chat(const graft_model* model,
                                                                const graft_chat_message* messages,
                                                                size_t message_count,
                                                                const graft_chat_options* options,
                                                                char* text, size_t capacity,
                                                                size_t* size, graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_CHAT_H_ */
