/* SPDX-License-Identifier: Apache-2.0
 * Prints the ids of 32 tokens after the first: tokens MODEL FIRST_ID */
#include <stdio.h>
#include <stdlib.h>

#include <graft/graft.h>

static int32_t print_token(void* user, int32_t id, const char* text, size_t size) {
  (void)user;
  (void)text;
  (void)size;
  if (id >= 0) printf("%ld\n", (long)id);
  return 0;
}

int main(int argc, char** argv) {
  graft_model* model = NULL;
  graft_session* session = NULL;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  graft_error error;
  int32_t first;
  int failed;
  if (argc != 3) return 2;
  first = (int32_t)atoi(argv[2]);
  options.max_tokens = 32;
  failed = graft_model_open(argv[1], NULL, &model, &error) != GRAFT_OK ||
           graft_session_create(model, NULL, &session, &error) != GRAFT_OK ||
           graft_session_generate(session, &first, 1, &options, print_token, NULL, NULL, &error) !=
               GRAFT_OK;
  if (failed) fprintf(stderr, "%s\n", error.message);
  graft_session_destroy(session);
  graft_model_destroy(model);
  return failed;
}
