// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.util.List;

/** One message of a conversation. Immutable. */
public final class ChatMessage {
  private final String role;
  private final String content;
  private final String json; // null: the role and the content are all
  final int pictures;

  /** With a role of the template's own; "system", "user" and "assistant" have functions here. */
  public ChatMessage(@NonNull String role, @NonNull String content) {
    this(role, content, 0);
  }

  private ChatMessage(String role, String content, int pictures) {
    this.role = Check.notNull(role, "role");
    this.content = Check.notNull(content, "content");
    json = null;
    this.pictures = pictures;
  }

  private ChatMessage(String role, String content, String json) {
    this.role = Check.notNull(role, "role");
    this.content = content;
    this.json = Check.notNull(json, "json");
    pictures = 0;
  }

  /**
   * Any message that the template knows, as a JSON object: one with "tool_calls", or with a list of
   * parts as its content. {@code role} is what {@link #getRole} gives.
   */
  @NonNull
  public static ChatMessage ofJson(@NonNull String role, @NonNull String json) {
    return new ChatMessage(role, "", json);
  }

  /** What a call of a function gave. */
  @NonNull
  public static ChatMessage toolResult(@NonNull ToolCall call, @NonNull String content) {
    StringBuilder json = new StringBuilder("{\"role\": \"tool\", \"tool_call_id\": ");
    Json.quote(Check.notNull(call, "call").getId(), json);
    Json.quote(call.getName(), json.append(", \"name\": "));
    Json.quote(Check.notNull(content, "content"), json.append(", \"content\": "));
    return new ChatMessage("tool", content, json.append('}').toString());
  }

  /** The same message with so many pictures before its text, for a model that sees. */
  @NonNull
  public ChatMessage withPictures(int count) {
    if (count < 0) throw new IllegalArgumentException(count + " pictures");
    if (json != null) throw new IllegalArgumentException("a message of JSON names its own pictures");
    return new ChatMessage(role, content, count);
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

  /** How many pictures each has; null if none has any. */
  static int[] picturesOf(List<ChatMessage> messages) {
    int[] pictures = new int[messages.size()];
    boolean any = false;
    for (int i = 0; i < pictures.length; ++i) {
      pictures[i] = messages.get(i).pictures;
      any |= pictures[i] > 0;
    }
    return any ? pictures : null;
  }

  @NonNull
  public String getRole() {
    return role;
  }

  /** "" for one that was made of JSON. */
  @NonNull
  public String getContent() {
    return content;
  }

  boolean isPlain() {
    return json == null;
  }

  /** inParts: with the content as a list of pictures and the text. */
  void appendJson(boolean inParts, StringBuilder to) {
    if (json != null) {
      to.append(json);
      return;
    }
    Json.quote(role, to.append("{\"role\": "));
    to.append(", \"content\": ");
    if (!inParts) {
      Json.quote(content, to);
      to.append('}');
      return;
    }
    to.append('[');
    for (int i = 0; i < pictures; ++i) to.append("{\"type\": \"image\"}, ");
    Json.quote(content, to.append("{\"type\": \"text\", \"text\": "));
    to.append("}]}");
  }
}
