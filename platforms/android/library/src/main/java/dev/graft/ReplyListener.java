// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** Receives what a reply consists of, as it becomes certain. */
public interface ReplyListener {
  /** A part of the answer's text. */
  void onText(@NonNull String text);

  /** A part of the model's thinking. */
  void onThinking(@NonNull String text);

  /** A whole call of a function. */
  void onCall(@NonNull ToolCall call);
}
