// SPDX-License-Identifier: Apache-2.0
// What stands around a fragment of C in a document: the variables that it may take to be there.
#include <stdio.h>

#include <graft/graft.h>

void fragment(graft_model* model, graft_session* session, graft_token_callback on_token, void* user,
              const float* floats);
void fragment(graft_model* model, graft_session* session, graft_token_callback on_token, void* user,
              const float* floats) {
  static int32_t ids[256];
  static char text[4096];
  size_t count = 0;
  size_t size = 0;
  graft_error error;
  graft_status status;
  (void)ids, (void)text, (void)count, (void)size, (void)error, (void)status;
  (void)model, (void)session, (void)on_token, (void)user, (void)floats;
  FRAGMENT;
}
