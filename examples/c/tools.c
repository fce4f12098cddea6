/* SPDX-License-Identifier: Apache-2.0
 * Answers a message, and lets the model call a function: tools MODEL MESSAGE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <graft/graft.h>

enum { kRoom = 16384, kTokens = 4096, kRounds = 3 };

static const char kTools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"The "
    "weather of a city\","
    " \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\", "
    "\"maxLength\": 30}},"
    " \"required\": [\"city\"], \"additionalProperties\": false}}}]";

/* A talk: its messages in JSON, without the closing bracket, and the answer that comes. */
struct talk {
  graft_reply* reply;
  char messages[kRoom];
  char results[kRoom]; /* of the calls in this answer, as messages */
  graft_error error;
};

static void add(char* to, const char* text, size_t size) {
  const size_t used = strlen(to);
  if (used + size >= kRoom) exit(3); /* a longer talk needs more room */
  memcpy(to + used, text, size);
  to[used + size] = '\0';
}

static void on_part(void* user, const graft_reply_part* part) {
  struct talk* talk = user;
  char message[256];
  if (part->kind == GRAFT_REPLY_TEXT) fwrite(part->text, 1, part->size, stdout);
  if (part->kind != GRAFT_REPLY_CALL) return;
  printf("%s %.*s\n", part->name, (int)part->size, part->text);
  /* Here the function would be called, with the arguments in part->text. */
  snprintf(message, sizeof message,
           ", {\"role\": \"tool\", \"tool_call_id\": \"%.40s\", \"name\": \"get_weather\", "
           "\"content\": \"21 degrees\"}",
           part->id);
  add(talk->results, message, strlen(message));
}

static int32_t on_token(void* user, int32_t id, const char* text, size_t size) {
  struct talk* talk = user;
  (void)id;
  return graft_reply_append(talk->reply, text, size, on_part, talk, &talk->error) != GRAFT_OK;
}

/* One answer to the messages so far, which is added to them. */
static int answer(graft_model* model, graft_session* session, struct talk* talk) {
  static char text[4 * kRoom];
  static int32_t ids[kTokens];
  char messages[kRoom + 2];
  size_t size = 0, count = 0;
  graft_chat_options chat = GRAFT_CHAT_OPTIONS_INIT;
  graft_generate_options generate = GRAFT_GENERATE_OPTIONS_INIT;
  graft_reply_options read = GRAFT_REPLY_OPTIONS_INIT;
  int failed;
  snprintf(messages, sizeof messages, "%s]", talk->messages);
  chat.messages_json = messages;
  chat.tools = read.tools = generate.tools = kTools;
  generate.max_tokens = 80;
  generate.whole_prompt = 1;
  talk->results[0] = '\0';
  failed = graft_model_render_chat(model, NULL, 0, &chat, text, sizeof text - 1, &size,
                                   &talk->error) != GRAFT_OK;
  if (failed) return failed;
  text[size] = '\0';
  read.prompt = text;
  failed =
      graft_model_tokenize(model, text, size, 0, ids, kTokens, &count, &talk->error) != GRAFT_OK ||
      graft_reply_create(model, &read, &talk->reply, &talk->error) != GRAFT_OK ||
      graft_session_generate(session, ids, count, &generate, on_token, talk, NULL, &talk->error) !=
          GRAFT_OK ||
      graft_reply_finish(talk->reply, on_part, talk, &talk->error) != GRAFT_OK ||
      graft_reply_message(talk->reply, text, sizeof text, &size, &talk->error) != GRAFT_OK;
  if (!failed) {
    add(talk->messages, ", ", 2);
    add(talk->messages, text, size);
    add(talk->messages, talk->results, strlen(talk->results));
  }
  graft_reply_destroy(talk->reply);
  talk->reply = NULL;
  return failed;
}

int main(int argc, char** argv) {
  static struct talk talk;
  graft_model* model = NULL;
  graft_session* session = NULL;
  int failed, round;
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL MESSAGE\n", argv[0]);
    return 2;
  }
  snprintf(talk.messages, kRoom, "[{\"role\": \"user\", \"content\": \"%s\"}",
           argv[2]); /* no quotes in it */
  failed = graft_model_open(argv[1], NULL, &model, &talk.error) != GRAFT_OK ||
           graft_session_create(model, NULL, &session, &talk.error) != GRAFT_OK;
  for (round = 0; !failed && round < kRounds; ++round) {
    failed = answer(model, session, &talk);
    if (talk.results[0] == '\0') break; /* nothing was called: that was the answer */
  }
  puts("");
  if (failed) fprintf(stderr, "%s\n", talk.error.message);
  graft_session_destroy(session);
  graft_model_destroy(model);
  return failed;
}
