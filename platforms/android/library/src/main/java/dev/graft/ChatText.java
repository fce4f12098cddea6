// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import java.util.List;

/** Messages as the text that a model was trained to see. */
final class ChatText {
  private ChatText() {}

  /** By a handle that is in use already. */
  static byte[] render(long model, List<ChatMessage> messages, ChatOptions options) {
    Check.notNull(options, "options");
    boolean arePlain = true;
    for (ChatMessage message : Check.notNull(messages, "messages")) {
      arePlain = arePlain && Check.notNull(message, "a message").isPlain();
    }
    byte[][] roles = new byte[arePlain ? messages.size() : 0][];
    byte[][] contents = new byte[roles.length][];
    for (int i = 0; i < roles.length; ++i) {
      ChatMessage message = messages.get(i);
      roles[i] = Check.withoutZero(message.getRole(), "a role");
      contents[i] = Check.withoutZero(message.getContent(), "a message");
    }
    int[] pictures = ChatMessage.picturesOf(messages);
    byte[] json = null;
    if (!arePlain) {
      StringBuilder list = new StringBuilder();
      for (ChatMessage message : messages) {
        message.appendJson(pictures != null, list.append(list.length() == 0 ? '[' : ','));
      }
      json = Check.withoutZero(list.append(']').toString(), "a message");
    }
    return Native.renderChat(
        model,
        roles,
        contents,
        options.withoutGenerationPrompt,
        options.template,
        options.names,
        options.values,
        json,
        options.tools,
        options.documents,
        options.variables,
        arePlain ? pictures : null);
  }
}
