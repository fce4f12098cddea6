// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** A call of a function that a model asks for. Immutable. */
public final class ToolCall {
  private final String id;
  private final String name;
  private final String arguments;

  ToolCall(String id, String name, String arguments) {
    this.id = id;
    this.name = name;
    this.arguments = arguments;
  }

  /** What {@link ChatMessage#toolResult} refers to it by. */
  @NonNull
  public String getId() {
    return id;
  }

  @NonNull
  public String getName() {
    return name;
  }

  /** A JSON object. */
  @NonNull
  public String getArguments() {
    return arguments;
  }
}
