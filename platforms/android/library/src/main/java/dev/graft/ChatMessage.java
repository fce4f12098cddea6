// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** One message of a conversation. Immutable. */
public final class ChatMessage {
  private final String role;
  private final String content;

  /** With a role of the template's own; "system", "user" and "assistant" have functions here. */
  public ChatMessage(@NonNull String role, @NonNull String content) {
    this.role = Check.notNull(role, "role");
    this.content = Check.notNull(content, "content");
  }

  @NonNull
  public static ChatMessage system(@NonNull String content) {
    return new ChatMessage("system", content);
  }

  @NonNull
  public static ChatMessage user(@NonNull String content) {
    return new ChatMessage("user", content);
  }

  @NonNull
  public static ChatMessage assistant(@NonNull String content) {
    return new ChatMessage("assistant", content);
  }

  @NonNull
  public String getRole() {
    return role;
  }

  @NonNull
  public String getContent() {
    return content;
  }
}
