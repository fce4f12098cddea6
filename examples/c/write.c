/* SPDX-License-Identifier: Apache-2.0
 * Prints what a model writes after a prompt: write MODEL PROMPT */
#include <stdio.h>
#include <string.h>

#include <graft/graft.h>

static int32_t print(void* user, int32_t id, const char* text, size_t size) {
  (void)user;
  (void)id;
  fwrite(text, 1, size, stdout);
  return 0; /* 1 would stop */
}

int main(int argc, char** argv) {
  int32_t prompt[256];
  size_t count = 0;
  graft_model* model = NULL;
  graft_session* session = NULL;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  graft_error error;
  int failed;
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL PROMPT\n", argv[0]);
    return 2;
  }
  options.max_tokens = 40;
  failed = graft_model_open(argv[1], NULL, &model, &error) != GRAFT_OK ||
           graft_model_tokenize(model, argv[2], strlen(argv[2]), 1, prompt, 256, &count, &error) !=
               GRAFT_OK ||
           graft_session_create(model, NULL, &session, &error) != GRAFT_OK ||
           graft_session_generate(session, prompt, count, &options, print, NULL, NULL, &error) !=
               GRAFT_OK;
  puts("");
  if (failed) fprintf(stderr, "%s\n", error.message);
  graft_session_destroy(session); /* NULL is fine */
  graft_model_destroy(model);
  return failed;
}
