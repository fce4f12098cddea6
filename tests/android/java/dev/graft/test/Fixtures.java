// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import dev.graft.GenerateOptions;
import dev.graft.Model;
import dev.graft.Tensor;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The converted models, and what the systems they come from say of them. */
final class Fixtures {
  private final File models;
  private final File data;
  private final File folder;

  Fixtures(String models, String data, String folder) {
    this.models = new File(models);
    this.data = new File(data);
    this.folder = new File(folder);
  }

  File modelFile(String name) {
    return new File(models, name + ".graft");
  }

  Model open(String name) {
    return Model.open(modelFile(name));
  }

  /** A place for a file of a test's own. */
  File scratch(String name) {
    return new File(folder, name);
  }

  /** A file of tests/data. */
  File data(String name) {
    return new File(data, name);
  }

  List<String> lines(String name) throws IOException {
    return Files.readAllLines(data(name).toPath());
  }

  Object json(String name) throws IOException {
    return Json.parse(new String(Files.readAllBytes(data.toPath().resolve(name)), StandardCharsets.UTF_8));
  }

  /** PyTorch's prompts and greedy continuations for a variant of tales. */
  List<Object> talesPrompts(String variant) throws IOException {
    return Json.list(
        Json.object(Json.object(json("tales/reference.json")).get(variant)).get("prompts"));
  }

  /** A float32 tensor of a safetensors file. */
  Tensor tensor(String file, String name) throws IOException {
    byte[] bytes = Files.readAllBytes(data.toPath().resolve(file));
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int headerBytes = (int) buffer.getLong();
    Map<String, Object> header =
        Json.object(Json.parse(new String(bytes, 8, headerBytes, StandardCharsets.UTF_8)));
    Map<String, Object> entry = Json.object(header.get(name));
    if (entry == null || !"F32".equals(entry.get("dtype"))) throw new IOException(name + " in " + header.keySet());
    long[] range = Json.longs(entry.get("data_offsets"));
    float[] elements = new float[(int) ((range[1] - range[0]) / 4)];
    buffer.position(8 + headerBytes + (int) range[0]);
    buffer.asFloatBuffer().get(elements);
    return Tensor.ofFloats(name, elements, Json.longs(entry.get("shape")));
  }

  /** Greedy, so many tokens, whatever the model thinks of ending. */
  static GenerateOptions greedy(int tokens) {
    return GenerateOptions.builder().maxTokens(tokens).ignoreEnd(true).build();
  }

  static int[] join(int[] a, int[] b) {
    int[] both = Arrays.copyOf(a, a.length + b.length);
    System.arraycopy(b, 0, both, a.length, b.length);
    return both;
  }
}
