// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.ChatMessage;
import dev.graft.ChatOptions;
import dev.graft.GenerateOptions;
import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.Pictures;
import dev.graft.Pixels;
import dev.graft.Session;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import javax.imageio.ImageIO;

/** Scores and embeddings of images. */
final class ImageTest {
  private static final double TOLERANCE = 1e-3; // as all encoders

  private final Fixtures fixtures;

  ImageTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("an image has the scores that transformers gives it", this::scores);
    suite.test("pixels in a buffer are those in an array, whatever lies around them", this::buffers);
    suite.test("an embedder of images gives a vector, and no scores", this::embedding);
    suite.test("pictures in a conversation are placed, set and kept", this::pictures);
    suite.test("pixels that are not there are refused", this::wrongPixels);
  }

  private static int[] argb(BufferedImage image) {
    return image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
  }

  private BufferedImage read(String name) throws IOException {
    return ImageIO.read(fixtures.data("images/" + name));
  }

  /** Logits, or a vector: model, image, how many, numbers. */
  private double[] reference(String model, String image) throws IOException {
    for (String line : fixtures.lines("images/references.txt")) {
      String[] words = line.split(" ");
      if (!words[0].equals(model) || !words[1].equals(image)) continue;
      double[] numbers = new double[words.length - 3];
      for (int i = 0; i < numbers.length; ++i) numbers[i] = Double.parseDouble(words[i + 3]);
      return numbers;
    }
    throw new IOException("no reference of " + image);
  }

  private void scores() throws Exception {
    try (Model model = fixtures.open("image-vit-vit-f32");
        Session session = model.newSession()) {
      check(model.getInfo().takesImages(), "takes no images");
      equal(model.getLabels(), List.of("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"));
      for (String name : new String[] {"wide.png", "tall.png", "tiny.png"}) {
        BufferedImage image = read(name);
        float[] scores =
            session.classify(Pixels.ofArgb(argb(image), image.getWidth(), image.getHeight()));
        double[] logits = reference("vit-vit", name);
        double total = 0;
        for (double logit : logits) total += Math.exp(logit);
        for (int i = 0; i < logits.length; ++i) {
          double difference = Math.abs(scores[i] - Math.exp(logits[i]) / total);
          check(difference <= TOLERANCE, name + ": off by " + difference);
        }
      }
    }
  }

  private void buffers() throws Exception {
    BufferedImage image = read("wide.png");
    int[] argb = argb(image);
    int width = image.getWidth();
    int height = image.getHeight();
    int stride = 4 * width + 12;
    ByteBuffer buffer = ByteBuffer.allocateDirect(5 + stride * height);
    for (int i = 0; i < argb.length; ++i) {
      int at = 5 + i / width * stride + i % width * 4;
      for (int shift : new int[] {16, 8, 0, 24}) buffer.put(at++, (byte) (argb[i] >> shift));
    }
    buffer.position(5);
    try (Model model = fixtures.open("image-vit-vit-f32");
        Session session = model.newSession()) {
      equal(
          session.classify(Pixels.ofRgba(buffer, width, height, stride)),
          session.classify(Pixels.ofArgb(argb, width, height)));
    }
  }

  private void embedding() throws Exception {
    BufferedImage image = read("wide.png");
    Pixels pixels = Pixels.ofArgb(argb(image), image.getWidth(), image.getHeight());
    try (Model model = fixtures.open("image-embedder-f32");
        Session session = model.newSession()) {
      equal(model.getLabels().size(), 0);
      double[] expected = reference("embedder", "wide.png");
      float[] vector = session.embed(pixels);
      equal(vector.length, expected.length);
      for (int i = 0; i < vector.length; ++i) {
        check(Math.abs(vector[i] - expected[i]) <= 4 * TOLERANCE, i + ": is " + vector[i]);
      }
      fails(Status.UNSUPPORTED, () -> session.classify(pixels));
    }
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession()) {
      check(!model.getInfo().takesImages(), "takes images");
      fails(Status.UNSUPPORTED, () -> session.classify(pixels));
    }
  }

  /** The pixels that tests/data/pictures/make_pictures.py makes. */
  private static Pixels byFormula(int width, int height) {
    int[] argb = new int[width * height];
    for (long i = 0; i < 3L * argb.length; ++i) {
      long value = ((i * 2654435761L >>> 7) ^ (i * i * 40503L >>> 11)) & 0xFF;
      argb[(int) (i / 3)] |= (int) (value << (16 - 8 * (i % 3)));
    }
    return Pixels.ofArgb(argb, width, height);
  }

  private void pictures() throws Exception {
    List<Pixels> pictures = List.of(byFormula(61, 23), byFormula(19, 88), byFormula(40, 40));
    List<ChatMessage> messages =
        List.of(
            ChatMessage.user("what is this and that").withPictures(2),
            ChatMessage.assistant("a cat"),
            ChatMessage.user("and this").withPictures(1));
    String reference = String.join("\n", fixtures.lines("pictures/smolvlm/reference.json"));
    try (Model model = fixtures.open("pictures-smolvlm-f32");
        Session session = model.newSession()) {
      String rendered = model.renderChat(messages, ChatOptions.DEFAULT);
      String text = Pictures.place(model, rendered, pictures);
      check(reference.contains(text.replace("\n", "\\n")), text);
      List<ChatMessage> mixed =
          List.of(
              messages.get(0),
              ChatMessage.ofJson(
                  "assistant",
                  "{\"role\": \"assistant\","
                      + " \"content\": [{\"type\": \"text\", \"text\": \"a cat\"}]}"),
              messages.get(2));
      equal(model.renderChat(mixed, ChatOptions.DEFAULT), rendered);
      throwsA(IllegalArgumentException.class, () -> mixed.get(1).withPictures(1));
      session.setPictures(pictures);
      int[] ids = model.tokenize(text, false);
      session.generate(ids, GenerateOptions.builder().maxTokens(4).build(), (id, piece) -> true);
      int position = session.getPosition();
      session.setPictures(pictures); // the same: nothing is forgotten
      equal(session.getPosition(), position);
      session.setPictures(pictures.subList(0, 2));
      check(session.getPosition() < position, "nothing is forgotten");
      fails(Status.INVALID_ARGUMENT, () -> Pictures.place(model, rendered, pictures.subList(0, 1)));
    }
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession()) {
      fails(Status.UNSUPPORTED, () -> session.setPictures(pictures));
      fails(Status.UNSUPPORTED, () -> Pictures.place(model, "text", pictures));
    }
  }

  private void wrongPixels() {
    int[] argb = new int[12];
    ByteBuffer buffer = ByteBuffer.allocateDirect(48);
    throwsA(IllegalArgumentException.class, () -> Pixels.ofArgb(argb, 4, 4));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofArgb(argb, 0, 4));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofArgb(argb, 1 << 16, 1 << 16));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofArgb(argb, Integer.MAX_VALUE, 1));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofRgba(buffer, 4, 3, 15));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofRgba(buffer, 4, 4, 16));
    throwsA(IllegalArgumentException.class, () -> Pixels.ofRgba(ByteBuffer.allocate(48), 4, 3, 16));
    throwsA(NullPointerException.class, () -> Pixels.ofArgb(null, 1, 1));
    Pixels.ofRgba(buffer, 4, 3, 16);
    try (Model model = fixtures.open("image-vit-vit-f32");
        Session session = model.newSession()) {
      fails(Status.INVALID_ARGUMENT, () -> session.classify(Pixels.ofArgb(new int[20000], 20000, 1)));
      throwsA(NullPointerException.class, () -> session.classify(null));
    }
  }
}
