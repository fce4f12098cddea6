/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: takes apart what a model wrote: its thinking, its calls of functions, its answer. */
#ifndef GRAFT_REPLY_H_
#define GRAFT_REPLY_H_

#include <graft/model.h>
#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One reply, as far as it has come. */
typedef struct graft_reply graft_reply;

/* How a reply is read. Zeros are defaults. What the struct points to is read during the call. */
typedef struct graft_reply_options {
  size_t struct_size;
  const char* format; /* how the model writes calls, see docs/answers.md; NULL or "": as it tells */
  const char* tools;  /* what graft_chat_options had */
  const char* prompt; /* what the reply answers: whether it ends within the model's thinking */
  const char* template_text; /* what graft_chat_options had */
} graft_reply_options;
#define GRAFT_REPLY_OPTIONS_INIT \
  { sizeof(graft_reply_options), NULL, NULL, NULL, NULL }

#define GRAFT_REPLY_TEXT 0
#define GRAFT_REPLY_THINKING 1
#define GRAFT_REPLY_CALL 2 /* of a function */

/* A part of a reply. */
typedef struct graft_reply_part {
  size_t struct_size;
  int32_t kind; /* GRAFT_REPLY_... */
  /* What became certain of text or thinking, or a call's arguments: a JSON object. `size` bytes. */
  const char* text;
  size_t size;
  const char* name; /* of the function that is called, terminated; NULL: no call */
  const char* id;   /* of the call, terminated: the model's, or one of nine characters */
} graft_reply_part;

/* Called for each part, during a call of graft_reply_append or graft_reply_finish. The part lives
 * until it returns. It must return: neither an exception nor longjmp may leave it. */
typedef void (*graft_reply_callback)(void* user, const graft_reply_part* part);

/* Makes *reply, empty. model may be NULL if the options name a format. `options` may be NULL.
 * Thread   Any.
 * Errors   INVALID_ARGUMENT: a format that is not known, tools that are no list of functions.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_reply_create(const graft_model* model,
                                                           const graft_reply_options* options,
                                                           graft_reply** reply, graft_error* error);
/* Frees it. reply may be NULL.
 * Thread   Any, while no other call uses it.
 */
GRAFT_API void graft_reply_destroy(graft_reply* reply);

/* The name of the format that the reply is read in, for graft_generate_options.reply_format: a
 * template_text of the caller's may tell another than the model's own. Empty for NULL. Static.
 * Thread   Any.
 */
GRAFT_API const char* graft_reply_format(const graft_reply* reply);

/* Reads on: `text` (size bytes) is what a graft_token_callback was given, cut anywhere. What begins
 * like a call and is none, or is larger than 256 KiB, is text. callback may be NULL.
 * Thread   One call at a time for a reply.
 * Errors   OUT_OF_RANGE: more than 64 MiB in all.
 *          FAILED_PRECONDITION: the reply is finished.
 *          OUT_OF_MEMORY: what was not told yet is lost.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_reply_append(graft_reply* reply, const char* text,
                                                           size_t size,
                                                           graft_reply_callback callback,
                                                           void* user, graft_error* error);
/* The same for the end of the reply: what was held back is a part now. Nothing can be appended.
 * Thread   One call at a time for a reply.
 * Errors   None but NULL.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_reply_finish(graft_reply* reply,
                                                           graft_reply_callback callback,
                                                           void* user, graft_error* error);

/* Gives the reply so far as a message for graft_chat_options.messages_json, by the rule of capacity,
 * with *size in bytes: {"role": "assistant", "content": ..., "reasoning_content": ...,
 * "tool_calls": [...]}. Not terminated.
 * Thread   One call at a time for a reply.
 * Errors   OUT_OF_RANGE: capacity.
 *          INVALID_ARGUMENT: the reply is not valid UTF-8.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_reply_message(const graft_reply* reply, char* json,
                                                            size_t capacity, size_t* size,
                                                            graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_REPLY_H_ */
