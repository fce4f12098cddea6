// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.GraftException.Status;
import dev.graft.Model;
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
