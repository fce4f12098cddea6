// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.ChatMessage;
import dev.graft.ChatOptions;
import dev.graft.GenerateOptions;
import dev.graft.GenerateResult;
import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.Session;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Talks: messages to text, and answers that go on from what the session holds. */
final class ChatTest {
  private static final String TEMPLATE =
      "{% for message in messages %}{{ message['role'] }}{{ mark }} {{ message['content'] }}\n{% endfor %}"
          + "{% if add_generation_prompt %}assistant{{ mark }}{% endif %}";

  private final Fixtures fixtures;

  ChatTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("messages become text by a template, with its variables", this::renders);
    suite.test("a model without a template says so", this::noTemplate);
    suite.test("a conversation goes on from what the session holds", this::goesOn);
    suite.test("a long conversation is rendered whole", this::longConversation);
    suite.test("null and zero characters in messages are refused", this::arguments);
  }

  private static ChatOptions options(String mark) {
    return ChatOptions.builder().template(TEMPLATE).variable("mark", mark).build();
  }

  private void renders() {
    List<ChatMessage> messages =
        Arrays.asList(
            ChatMessage.system("Be kind."), ChatMessage.user("\uD83D\uDE00?"), ChatMessage.assistant("Yes"), new ChatMessage("tool", "7"));
    try (Model model = fixtures.open("tales-base-f32")) {
      String text = "system> Be kind.\nuser> \uD83D\uDE00?\nassistant> Yes\ntool> 7\n";
      equal(model.renderChat(messages, options(">")), text + "assistant>");
      ChatOptions whole =
          ChatOptions.builder().template(TEMPLATE).variable("mark", ">").withoutGenerationPrompt(true).build();
      equal(model.renderChat(messages, whole), text);
    }
  }

  private void noTemplate() {
    List<ChatMessage> messages = Collections.singletonList(ChatMessage.user("Hello"));
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      check(!model.getInfo().hasChatTemplate(), "it has one");
      fails(Status.FAILED_PRECONDITION, () -> model.renderChat(messages, ChatOptions.DEFAULT));
      fails(Status.FAILED_PRECONDITION, () -> session.chat(messages, GenerateOptions.DEFAULT, null));
    }
  }

  private void goesOn() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession();
        Session fresh = model.newSession()) {
      List<ChatMessage> messages = new ArrayList<>();
      messages.add(ChatMessage.user("Once upon a time there was a king who had a daughter"));
      StringBuilder streamed = new StringBuilder();
      GenerateResult first =
          session.chat(messages, options(":"), Fixtures.greedy(12), (id, text) -> streamed.append(text).length() >= 0);
      equal(streamed.toString(), first.getText());
      equal(first.getReusedTokens(), 0);
      messages.add(ChatMessage.assistant(first.getText().trim()));
      messages.add(ChatMessage.user("And then?"));
      GenerateResult second = session.chat(messages, options(":"), Fixtures.greedy(12), null);
      check(second.getReusedTokens() >= first.getPromptTokens(), "reused " + second.getReusedTokens());
      equal(fresh.chat(messages, options(":"), Fixtures.greedy(12), null).getIds(), second.getIds());
    }
  }

  private void longConversation() {
    String words = String.join("", Collections.nCopies(2000, "abc "));
    List<ChatMessage> messages = Collections.nCopies(5, ChatMessage.user(words));
    try (Model model = fixtures.open("tales-base-f32")) {
      equal(model.renderChat(messages, options("")).length(), 5 * ("user ".length() + 8000 + 1) + "assistant".length());
    }
  }

  private void arguments() {
    try (Model model = fixtures.open("tales-base-f32")) {
      throwsA(NullPointerException.class, () -> ChatMessage.user(null));
      throwsA(NullPointerException.class, () -> model.renderChat(null, ChatOptions.DEFAULT));
      List<ChatMessage> zero = Collections.singletonList(ChatMessage.user("a\0b"));
      throwsA(IllegalArgumentException.class, () -> model.renderChat(zero, ChatOptions.DEFAULT));
      throwsA(IllegalArgumentException.class, () -> ChatOptions.builder().variable("a\0", "b"));
    }
  }
}
