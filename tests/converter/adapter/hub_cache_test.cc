// SPDX-License-Identifier: Apache-2.0
// The hub's cache as huggingface_hub lays it out, whole and in pieces.
#include "converter/base/hub_cache.h"

#include <doctest/doctest.h>

#include "converter/base/input_file.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

struct Cache {
  TemporaryFolder folder;

  fs::path Repository(const std::string& name) const { return folder / ("models--" + name); }
  fs::path Snapshot(const std::string& name, const std::string& revision) const {
    const fs::path snapshot = Repository(name) / "snapshots" / revision;
    fs::create_directories(snapshot);
    fs::create_directories(Repository(name) / "blobs");
    return snapshot;
  }
  void Main(const std::string& name, std::string_view text) const {
    fs::create_directories(Repository(name) / "refs");
    WriteText(Repository(name) / "refs" / "main", text);
  }
  std::string Resolve(const fs::path& path) const {
    const auto resolved = ResolveHubPath(path, folder.path());
    return resolved.ok() ? resolved->string() : std::string(resolved.status().message());
  }
};

TEST_SUITE("converter/hub_cache") {
  TEST_CASE("a repository's folder and its name on the hub mean the snapshot of refs/main") {
    const Cache cache;
    const fs::path first = cache.Snapshot("org--tiny", "abc123");
    cache.Snapshot("org--tiny", "def456");
    cache.Main("org--tiny", "abc123");
    CHECK(cache.Resolve(cache.Repository("org--tiny")) == first);
    CHECK(cache.Resolve(cache.Repository("org--tiny") / "") == first);
    CHECK(cache.Resolve(cache.Repository("org--tiny") / "snapshots") == first);
    CHECK(cache.Resolve("org/tiny") == first);
    cache.Main("org--tiny", "def456\n");
    CHECK(cache.Resolve("org/tiny") == cache.Snapshot("org--tiny", "def456"));
    // Names from before there were organizations.
    const fs::path old = cache.Snapshot("gpt2", "0123");
    CHECK(cache.Resolve("gpt2") == old);
    // What is a folder or file is that.
    CHECK(cache.Resolve(first) == first);
    CHECK(cache.Resolve(cache.folder.path()) == cache.folder.path());
    CHECK(cache.Resolve("nowhere") == "nowhere");
    CHECK(cache.Resolve("./nowhere/model") == "./nowhere/model");
    CHECK(cache.Resolve("a/model.safetensors") == "a/model.safetensors");
    CHECK(FolderName(first) == "tiny");
    CHECK(FolderName("some/folder/") == "folder");
    CHECK(FolderName("snapshots/abc") == "abc");
  }

  TEST_CASE("the only snapshot will do, and several are listed") {
    const Cache cache;
    const fs::path only = cache.Snapshot("org--one", "aaa");
    CHECK(cache.Resolve("org/one") == only);
    for (const char* reference : {"bbb", "../..", "", "a/b"}) {
      cache.Main("org--one", reference);
      CHECK(cache.Resolve("org/one") == only);
    }
    cache.Snapshot("org--one", "ccc");
    CheckMentions(
        cache.Resolve("org/one"),
        "holds 2 snapshots (aaa, ccc), and refs/main names none of them; name the folder");
    fs::create_directories(cache.Repository("org--none") / "snapshots");
    CheckMentions(cache.Resolve(cache.Repository("org--none")), "holds no snapshot");
  }

  TEST_CASE("a name that is not there says where it would be and how it gets there") {
    const Cache cache;
    const std::string fault = cache.Resolve("org/Other-1.5B");
    CheckMentions(fault, "org/Other-1.5B: is not a folder");
    CheckMentions(fault, "models--org--Other-1.5B, where its files would be, is not there");
    CheckMentions(fault, "`hf download org/Other-1.5B` fetches them");
    for (const char* path : {"a/b/c", "../model", "/a/b", "a--b/c", "org/mo del", "~/model"}) {
      CHECK(cache.Resolve(path) == path);
    }
  }

  TEST_CASE("files are links to blobs, or the texts of such links") {
    const Cache cache;
    const std::string hash(64, '7');
    const fs::path snapshot = cache.Snapshot("org--tiny", "abc");
    WriteTensors(cache.Repository("org--tiny") / "blobs" / hash,
                 {{"fc.weight", RandomTensor({6, 4}, 1)}});
    const auto read = [&] {
      const auto base = Checkpoint::Open(snapshot);
      REQUIRE_MESSAGE(base.ok(), base.status().message());
      return ReadAll(**base, "fc.weight");
    };
    fs::create_symlink("../../blobs/" + hash, snapshot / "model.safetensors");
    const std::vector<double> expected = read();
    fs::remove(snapshot / "model.safetensors");
    WriteText(snapshot / "model.safetensors", "../../blobs/" + hash);
    CHECK(read() == expected);
    for (const std::string& text :
         {"../../blobs/../" + hash, std::string("../../blobs/x"), "blobs/" + hash}) {
      WriteText(snapshot / "model.safetensors", text);
      const auto file = InputFile::Open(snapshot / "model.safetensors");
      REQUIRE(file.ok());
      CHECK((*file)->size_bytes() == text.size());
    }
  }
}

}  // namespace
}  // namespace graft::converter
