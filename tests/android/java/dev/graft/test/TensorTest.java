// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.ModelInfo;
import dev.graft.Session;
import dev.graft.Tensor;
import java.util.List;

/** Forward passes on named tensors. */
final class TensorTest {
  // float32 sums of 100 products in another order, on values of tens.
  private static final float TOLERANCE = 2e-4f;

  private final Fixtures fixtures;

  TensorTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("a LoRA layer computes what NumPy computed", this::loraLayer);
    suite.test("a token model's graph takes ids and gives logits for each", this::logits);
    suite.test("wrong inputs are refused, and named", this::wrongInputs);
    suite.test("a tensor's elements fill its shape", this::shapes);
  }

  private void loraLayer() throws Exception {
    Tensor x = fixtures.tensor("lora_layer/io.safetensors", "input");
    Tensor expected = fixtures.tensor("lora_layer/io.safetensors", "output");
    try (Model model = fixtures.open("lora_layer-f32");
        Session session = model.newSession()) {
      equal(model.getInfo().getTask(), ModelInfo.Task.TENSORS);
      for (int i = 0; i < 2; ++i) {
        List<Tensor> outputs = session.forward(Tensor.ofFloats("input", x.getFloats(), x.getShape()));
        equal(outputs.size(), 1);
        Tensor y = outputs.get(0);
        equal(y.getType(), Tensor.Type.FLOAT32);
        equal(y.getShape(), expected.getShape());
        for (int k = 0; k < y.getFloats().length; ++k) {
          float difference = Math.abs(y.getFloats()[k] - expected.getFloats()[k]);
          check(difference <= TOLERANCE, k + ": off by " + difference);
        }
      }
    }
  }

  private void logits() {
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession()) {
      int[] ids = model.tokenize("Once upon a time", true);
      Tensor logits = session.forward(Tensor.ofInts("input_ids", ids, ids.length)).get(0);
      equal(logits.getShape(), new long[] {ids.length, model.getInfo().getVocabulary()});
      session.reset();
      float[] last = session.append(ids);
      int at = logits.getFloats().length - last.length;
      for (int i = 0; i < last.length; ++i) equal(logits.getFloats()[at + i], last[i]);
    }
  }

  private void wrongInputs() {
    try (Model model = fixtures.open("lora_layer-f32");
        Session session = model.newSession()) {
      fails(Status.INVALID_ARGUMENT, () -> session.forward());
      Tensor wrongName = Tensor.ofFloats("\u4f60", new float[100], 1, 100);
      fails(Status.INVALID_ARGUMENT, () -> session.forward(wrongName));
      fails(Status.INVALID_ARGUMENT, () -> session.forward(Tensor.ofFloats("input", new float[99], 1, 99)));
      fails(Status.INVALID_ARGUMENT, () -> session.forward(Tensor.ofInts("input", new int[100], 1, 100)));
      throwsA(NullPointerException.class, () -> session.forward((Tensor) null));
      throwsA(IllegalArgumentException.class, () -> session.forward(Tensor.ofInts("a\0b", new int[1], 1)));
      session.forward(Tensor.ofFloats("input", new float[100], 1, 100));
    }
  }

  private void shapes() {
    Tensor.ofFloats("scalar", new float[1]);
    Tensor.ofFloats("empty", new float[0], 3, 0);
    throwsA(IllegalArgumentException.class, () -> Tensor.ofFloats("x", new float[5], 2, 3));
    throwsA(IllegalArgumentException.class, () -> Tensor.ofFloats("x", new float[6], 4));
    throwsA(IllegalArgumentException.class, () -> Tensor.ofFloats("x", new float[0], 1L << 32, 1L << 32));
    throwsA(IllegalArgumentException.class, () -> Tensor.ofFloats("x", new float[1], -1, -1));
    throwsA(IllegalArgumentException.class, () -> Tensor.ofInts("x", new int[1], 1, 1, 1, 1, 1, 1, 1, 1, 1));
    throwsA(IllegalStateException.class, () -> Tensor.ofInts("x", new int[1], 1).getFloats());
    throwsA(NullPointerException.class, () -> Tensor.ofInts(null, new int[1], 1));
  }
}
