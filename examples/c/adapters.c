/* SPDX-License-Identifier: Apache-2.0
 * One base, some adapters: prints what the base writes after a prompt, then what each pack makes of
 * it, in one model that is swapped: adapters BASE PROMPT PACK... */
#include <stdio.h>
#include <string.h>

#include <graft/graft.h>

static int32_t print(void* user, int32_t id, const char* text, size_t size) {
  (void)user;
  (void)id;
  fwrite(text, 1, size, stdout);
  return 0;
}

/* What the model writes now. The tokenizer may be the adapter's own. */
static graft_status write_text(graft_model* model, graft_session* session, const char* prompt,
                               graft_error* error) {
  int32_t ids[256];
  size_t count = 0;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  graft_status status;
  options.max_tokens = 40;
  status = graft_model_tokenize(model, prompt, strlen(prompt), 1, ids, 256, &count, error);
  if (status != GRAFT_OK) return status;
  status = graft_session_generate(session, ids, count, &options, print, NULL, NULL, error);
  puts("");
  return status;
}

int main(int argc, char** argv) {
  graft_model* model = NULL;
  graft_session* session = NULL;
  graft_error error;
  graft_self_test test; /* did the adapter apply? */
  int failed, i;
  if (argc < 3) {
    fprintf(stderr, "usage: %s BASE PROMPT PACK...\n", argv[0]);
    return 2;
  }
  test.struct_size = sizeof(test);
  failed = graft_model_open(argv[1], NULL, &model, &error) != GRAFT_OK ||
           graft_session_create(model, NULL, &session, &error) != GRAFT_OK ||
           write_text(model, session, argv[2], &error) != GRAFT_OK;
  for (i = 3; i < argc && !failed; ++i) {
    graft_pack pack = GRAFT_PACK_INIT;
    pack.path = argv[i];
    /* Only weights that differ are touched; the session goes along, and forgets its tokens. */
    failed = graft_model_swap(model, &pack, &error) != GRAFT_OK ||
             graft_model_self_test(model, &test, &error) != GRAFT_OK ||
             write_text(model, session, argv[2], &error) != GRAFT_OK;
    if (!failed && !test.passed) fprintf(stderr, "%s: %s\n", argv[i], test.note);
  }
  if (failed) fprintf(stderr, "%s\n", error.message);
  graft_session_destroy(session);
  graft_model_destroy(model);
  return failed;
}
