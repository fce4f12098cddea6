// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.util.ArrayList;
import java.util.List;

/** How messages become text. Immutable. */
public final class ChatOptions {
  private static final byte[][] NONE = {}; // before DEFAULT, which needs it

  /** The model's own template, ready for the assistant's answer. */
  @NonNull public static final ChatOptions DEFAULT = builder().build();

  final boolean withoutGenerationPrompt;
  final byte[] template; // null: the model's
  final byte[][] names;
  final byte[][] values;
  final byte[] tools; // null: none, as the next two
  final byte[] documents;
  final byte[] variables;

  private ChatOptions(Builder from) {
    withoutGenerationPrompt = from.withoutGenerationPrompt;
    template = from.template;
    names = from.names.toArray(NONE);
    values = from.values.toArray(NONE);
    tools = from.tools;
    documents = from.documents;
    variables = from.variables;
  }

  @NonNull
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options; what is not set has its default. */
  public static final class Builder {
    private boolean withoutGenerationPrompt;
    private byte[] template;
    private final List<byte[]> names = new ArrayList<>();
    private final List<byte[]> values = new ArrayList<>();
    private byte[] tools;
    private byte[] documents;
    private byte[] variables;

    private Builder() {}

    /** Whether to leave out what an answer begins with. Default false. */
    @NonNull
    public Builder withoutGenerationPrompt(boolean without) {
      withoutGenerationPrompt = without;
      return this;
    }

    /** A Jinja template in place of the model's; null, the default: the model's. */
    @NonNull
    public Builder template(@Nullable String jinja) {
      template = jinja == null ? null : Check.withoutZero(jinja, "template");
      return this;
    }

    /** Something the template may ask for; "true" and "false" are truth values, else it is text. */
    @NonNull
    public Builder variable(@NonNull String name, @NonNull String value) {
      byte[] nameBytes = Check.withoutZero(name, "name");
      values.add(Check.withoutZero(value, "value"));
      names.add(nameBytes);
      return this;
    }

    /**
     * Functions that the model may call, as a JSON list: what transformers' apply_chat_template
     * takes. {@link Session#chat} holds calls to them. null, the default: none.
     */
    @NonNull
    public Builder tools(@Nullable String json) {
      tools = json == null ? null : Check.withoutZero(json, "tools");
      return this;
    }

    /** Documents that the model is to read, as a JSON list of objects. */
    @NonNull
    public Builder documents(@Nullable String json) {
      documents = json == null ? null : Check.withoutZero(json, "documents");
      return this;
    }

    /** Further variables of any type, as a JSON object. */
    @NonNull
    public Builder variables(@Nullable String json) {
      variables = json == null ? null : Check.withoutZero(json, "variables");
      return this;
    }

    @NonNull
    public ChatOptions build() {
      return new ChatOptions(this);
    }
  }
}
