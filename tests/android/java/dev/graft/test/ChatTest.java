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
import dev.graft.ReplyListener;
import dev.graft.ReplyReader;
import dev.graft.Session;
import dev.graft.ToolCall;
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
    suite.test("functions, calls, results and documents go to the template", this::tools);
    suite.test("a reply is taken apart while it comes", this::reply);
    suite.test("a call is one of the functions, whatever the model likes", this::calls);
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

  private static final String TOOLS =
      "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\","
          + " \"properties\": {\"a\": {\"enum\": [\"x\"]}}, \"required\": [\"a\"], \"additionalProperties\": false}}}]";

  /** What a reply consists of, as one text. */
  private static final class Parts implements ReplyListener {
    final StringBuilder all = new StringBuilder();
    ToolCall call;

    @Override
    public void onText(String text) {
      all.append(text);
    }

    @Override
    public void onThinking(String text) {
      all.append('~').append(text);
    }

    @Override
    public void onCall(ToolCall call) {
      this.call = call;
      all.append('[').append(call.getName()).append(call.getArguments()).append(']');
    }
  }

  private void tools() {
    ChatOptions options =
        ChatOptions.builder()
            .template(
                "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }};{% endfor %}"
                    + "{{ tools[0].function.name }}{{ documents[0].n + more[1] }}")
            .tools(TOOLS)
            .documents("[{\"n\": 1}]")
            .variables("{\"more\": [0, 41]}")
            .build();
    try (Model model = fixtures.open("tales-base-f32")) {
      List<ChatMessage> messages =
          Arrays.asList(
              ChatMessage.user("\"a\"\\\n\u00E9"),
              ChatMessage.ofJson("assistant", "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [1]}"));
      equal(model.renderChat(messages, options), "user:\"a\"\\\n\u00E9;assistant:[1];f42");
      fails(
          Status.INVALID_ARGUMENT,
          () -> model.renderChat(messages, ChatOptions.builder().template("x").tools("{}").build()));
    }
  }

  private void reply() {
    try (Model model = fixtures.open("tales-base-f32")) {
      Parts parts = new Parts();
      ReplyReader reader = model.newReplyReader(ChatOptions.DEFAULT, "hermes", "<think>");
      String text = "so\n</think>\u00E9 <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}</tool_call>";
      for (int i = 0; i < text.length(); ++i) reader.append(text.substring(i, i + 1), parts);
      reader.finish(parts);
      equal(parts.all.toString(), "~s~o\u00E9[f{\"a\":\"x\"}]");
      ChatMessage answer = reader.getMessage();
      ChatMessage result = ChatMessage.toolResult(parts.call, "7\"");
      ChatOptions options =
          ChatOptions.builder()
              .template("{{ messages[0].tool_calls[0].id }}{{ messages[1].tool_call_id }}{{ messages[1].name }}{{ messages[1].content }}")
              .build();
      equal(model.renderChat(Arrays.asList(answer, result), options), "call00000call00000f7\"");
      reader.close();
      reader.close();
      throwsA(IllegalStateException.class, () -> reader.append("x", null));
      fails(Status.INVALID_ARGUMENT, () -> model.newReplyReader(ChatOptions.DEFAULT, "none", null));
    }
  }

  private void calls() {
    GenerateOptions options =
        GenerateOptions.builder()
            .tools(TOOLS)
            .jsonSchema("{\"const\": 1}")
            .temperature(2)
            .seed(3)
            .maxTokens(120)
            .build();
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      String text = session.generate("x", options).getText();
      check(text.equals("1") || text.startsWith("<tool_call>\n{\"name\":"), text);
      GenerateOptions.Builder called = GenerateOptions.builder().tools(TOOLS).maxTokens(120);
      text = session.generate("x", called.toolChoice("required").build()).getText();
      check(text.startsWith("<tool_call>\n{\"name\":"), text);
      GenerateOptions wrong = called.toolChoice("no such").build();
      fails(Status.INVALID_ARGUMENT, () -> session.generate("x", wrong));
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
