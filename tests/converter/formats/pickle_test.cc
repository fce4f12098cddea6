// SPDX-License-Identifier: Apache-2.0
// Pickles: tensors are told as torch.save describes them, everything else is refused by name and
// within limits.
#include "converter/formats/pickle.h"

#include <limits>

#include <doctest/doctest.h>

#include "tests/converter/formats/torch_bytes.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

using namespace pickled;

Result<std::vector<PickledTensor>> ReadPickle(const std::string& pickle,
                                              const PickleLimits& limits = {}) {
  return ReadPickledTensors(
      std::span(reinterpret_cast<const uint8_t*>(pickle.data()), pickle.size()), "t.bin", limits);
}

std::string FaultOf(const std::string& pickle, const PickleLimits& limits = {}) {
  const auto tensors = ReadPickle(pickle, limits);
  if (tensors.ok()) return "";
  const std::string message(tensors.status().message());
  CHECK(message.find("t.bin") == 0);
  CHECK(tensors.status().code() != StatusCode::kInternal);
  return message;
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string SomeTensor() { return Tensor(Storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1}); }

// A whole pickle of these instructions.
std::string Pickle(std::string_view instructions) {
  return "\x80\x02" + std::string(instructions) + ".";
}

TEST_SUITE("converter/pickle") {
  TEST_CASE("tells names, types, shapes and places") {
    const auto tensors =
        ReadPickle(Dict(Text("a") + SomeTensor() + Text("b") +
                        Tensor(Storage("BFloat16Storage", "17", 1000), 4, {5, 7, 2}, {1, 10, 5})));
    REQUIRE_MESSAGE(tensors.ok(), tensors.status().message());
    REQUIRE(tensors->size() == 2);
    const PickledTensor& b = (*tensors)[1];
    CHECK((*tensors)[0].name == "a");
    CHECK(b.name == "b");
    CHECK(b.dtype == DType::kBFloat16);
    CHECK(b.storage_key == "17");
    CHECK(b.storage_elements == 1000);
    CHECK(b.offset == 4);
    CHECK(b.sizes == std::vector<int64_t>{5, 7, 2});
    CHECK(b.strides == std::vector<int64_t>{1, 10, 5});
    CHECK(ReadPickle(Pickle("}"))->empty());
  }

  TEST_CASE("reads integers of every length and sign") {
    const std::string storage = Storage("FloatStorage", "0", 6);
    const auto offset_of = [&](const std::string& number) {
      const auto tensors =
          ReadPickle(Dict(Text("a") + Global("torch._utils", "_rebuild_tensor_v2") + "(" + storage +
                          number + "))\x89" + Global("collections", "OrderedDict") + ")RtR"));
      REQUIRE_MESSAGE(tensors.ok(), tensors.status().message());
      return (*tensors)[0].offset;
    };
    CHECK(offset_of("K\xFF") == 255);
    CHECK(offset_of("M\xFE\xFF") == 65534);
    CHECK(offset_of("J" + Bytes32(0xFFFFFFFE)) == -2);
    CHECK(offset_of(std::string("\x8a\x00", 2)) == 0);
    CHECK(offset_of(std::string("\x8a\x01\x80")) == -128);
    CHECK(offset_of(std::string("\x8a\x05\x00\x00\x00\x80\x00", 7)) == 2147483648);
    CHECK(offset_of(Number(std::numeric_limits<int64_t>::min())) ==
          std::numeric_limits<int64_t>::min());
  }

  TEST_CASE("asks for nothing beyond the allowed names, however they are spelled") {
    const std::string command = "(" + Text("touch graft_pickle_ran") + "tR";
    const std::string system = Global("os", "system") + command;
    CHECK(Mentions(FaultOf(Pickle(system)), "asks for os.system; graft executes nothing"));
    CHECK(Mentions(FaultOf(Pickle(Text("posix") + Text("system") + "\x93" + command)),
                   "asks for posix.system"));
    CHECK(Mentions(FaultOf(Pickle("\x8c\x08"
                                  "builtins\x8c\x04"
                                  "eval\x93" +
                                  command)),
                   "asks for builtins.eval"));
    // Nested: inside the arguments of an allowed call, in a key, in attributes, in a storage.
    CHECK(Mentions(FaultOf(Dict(Text("a") + Global("torch._utils", "_rebuild_tensor_v2") + "(" +
                                system + "tR")),
                   "asks for os.system"));
    CHECK(Mentions(FaultOf(Dict(system + SomeTensor())), "asks for os.system"));
    CHECK(Mentions(
        FaultOf(Pickle(Global("collections", "OrderedDict") + ")R}" + Text("x") + system + "sb")),
        "asks for os.system"));
    CHECK(Mentions(FaultOf(Pickle("(" + Text("storage") + Global("os", "system") + "tQ")),
                   "asks for os.system"));
    // Names near to the allowed ones.
    for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{
             {"torch", "load"},
             {"torch._utils", "_rebuild_tensor_v2.__globals__"},
             {"torch.storage", "UntypedStorage"},
             {"torch", "ComplexFloatStorage"},
             {"torch._utils", "_rebuild_tensor_v3"},
             {"collections", "OrderedDict.fromkeys"},
             {"", ""}}) {
      CHECK(Mentions(FaultOf(Pickle(Global(module, name))), "asks for " + module + "." + name));
    }
    // A terminal must not be told what to do.
    const std::string message = FaultOf(Pickle(Global("os\x1b[2J", "system")));
    CHECK(Mentions(message, "os?[2J.system"));
    CHECK(!Mentions(message, "\x1b"));
  }

  TEST_CASE("refuses every instruction that makes other things, by name") {
    for (const auto& [opcode, name] : std::vector<std::pair<char, std::string>>{
             {'i', "INST"},         {'o', "OBJ"},           {'\x81', "NEWOBJ"},
             {'\x92', "NEWOBJ_EX"}, {'\x82', "EXT1"},       {'\x84', "EXT4"},
             {'P', "PERSID"},       {'S', "STRING"},        {'I', "INT"},
             {'2', "DUP"},          {'1', "POP_MARK"},      {']', "EMPTY_LIST"},
             {'e', "APPENDS"},      {'\x8b', "LONG4"},      {'\x8d', "BINUNICODE8"},
             {'B', "BINBYTES"},     {'\x96', "BYTEARRAY8"}, {'\x97', "NEXT_BUFFER"},
             {'d', "DICT"},         {'\x80', "PROTO"},      {'\x7f', "0x7f"}}) {
      const std::string& instruction = name;
      CAPTURE(instruction);
      CHECK(
          Mentions(FaultOf(Pickle(std::string(1, opcode) + "\x02")), "instruction " + name + " "));
    }
  }

  TEST_CASE("refuses allowed names with other arguments") {
    const std::string ordered = Global("collections", "OrderedDict");
    const std::string rebuild = Global("torch._utils", "_rebuild_tensor_v2");
    const std::string hooks = ordered + ")R";
    const std::string storage = Storage("FloatStorage", "0", 6);
    CHECK(Mentions(FaultOf(Pickle(ordered + Text("x") + "\x85R")), "OrderedDict with arguments"));
    CHECK(Mentions(FaultOf(Pickle(Global("torch", "FloatStorage") + ")R")), "torch.FloatStorage"));
    for (const std::string& arguments :
         {std::string(")"), "(" + storage + "t", "(" + storage + Number(0) + "))\x89t",
          "(" + Text("s") + Number(0) + "))\x89" + hooks + "t",
          "(" + storage + Text("0") + "))\x89" + hooks + "t",
          "(" + storage + Number(0) + Number(6) + ")\x89" + hooks + "t",
          "(" + storage + Number(0) + Numbers({2, 3}) + Numbers({1}) + "\x89" + hooks + "t",
          "(" + storage + Number(0) + Text("a") + "\x85)\x89" + hooks + "t",
          "(" + storage + Number(0) + "))N" + hooks + "t",
          "(" + storage + Number(0) + "))\x89" + Text("hook") + "t",
          "(" + storage + Number(0) + "))\x89" + hooks + Text("a") + Number(1) + "st",
          // metadata: a view that negates what it shows
          "(" + storage + Number(0) + "))\x89" + hooks + "}" + Text("neg") + "\x88st",
          "(" + storage + Number(0) + Numbers(std::vector<int64_t>(17, 1)) +
              Numbers(std::vector<int64_t>(17, 1)) + "\x89" + hooks + "t"}) {
      CHECK(Mentions(FaultOf(Dict(Text("a") + rebuild + arguments + "R")), "_rebuild_tensor_v2"));
    }
    CHECK(Mentions(FaultOf(Dict(Text("a") + Global("torch._utils", "_rebuild_parameter") + "(" +
                                storage + "\x89" + hooks + "tR")),
                   "_rebuild_parameter"));
    // Calling what cannot be called.
    for (const std::string& callee : {Text("os.system"), Number(1), std::string("}"), hooks,
                                      SomeTensor(), storage, std::string(")")}) {
      CHECK(Mentions(FaultOf(Pickle(callee + ")R")), "calls a"));
    }
    CHECK(Mentions(FaultOf(Pickle(ordered + Text("x") + "R")), "with a string"));
    // Persistent ids.
    for (const std::string& id :
         {Text("0"), Number(0), Numbers({1, 2, 3, 4, 5}),
          "(" + Text("module") + Global("torch", "FloatStorage") + Text("0") + Text("cpu") +
              Number(1) + "t",
          "(" + Text("storage") + ordered + Text("0") + Text("cpu") + Number(1) + "t",
          "(" + Text("storage") + Global("torch", "FloatStorage") + Number(0) + Text("cpu") +
              Number(1) + "t"}) {
      CHECK(Mentions(FaultOf(Pickle(id + "Q")), "persistent id"));
    }
    CHECK(Mentions(FaultOf(Dict(Text("a") + Storage("FloatStorage", std::string(65, '0'), 1))),
                   "storage key of 65 bytes"));
    // Attributes of anything but an OrderedDict.
    CHECK(Mentions(FaultOf(Pickle("}}b")), "BUILD"));
    CHECK(Mentions(FaultOf(Pickle(SomeTensor() + "}b")), "BUILD"));
    CHECK(Mentions(FaultOf(Pickle(hooks + Text("x") + "b")), "BUILD"));
  }

  TEST_CASE("takes only a dict of tensors, at the top or under one well-known name") {
    const std::string inner = "}" + Text("w") + SomeTensor() + "s";
    const auto wrapped = ReadPickle(Dict(Text("epoch") + Number(3) + Text("state_dict") + inner +
                                         Text("loss") + "G" + std::string(8, '\0') + Text("best") +
                                         "N" + Text("note") + Text("x")));
    REQUIRE_MESSAGE(wrapped.ok(), wrapped.status().message());
    REQUIRE(wrapped->size() == 1);
    CHECK((*wrapped)[0].name == "w");
    CHECK(ReadPickle(Dict(Text("model") + inner)).ok());
    CHECK(Mentions(FaultOf(Dict(Text("state_dict") + inner + Text("model") + inner)), "both"));
    CHECK(Mentions(FaultOf(Dict(Text("state_dict") + inner + Text("optimizer") + "}")),
                   "holds a dict under 'optimizer'"));
    CHECK(Mentions(FaultOf(Dict(Text("state_dict") + inner + Text("x") + SomeTensor())),
                   "holds a tensor under 'x'"));
    CHECK(Mentions(FaultOf(Dict(Text("net") + inner)), "holds a dict under 'net', not a tensor"));
    CHECK(Mentions(FaultOf(Dict(Text("w") + SomeTensor() + Text("step") + Number(3))),
                   "holds an integer under 'step', not a tensor"));
    CHECK(Mentions(FaultOf(Dict(Number(0) + SomeTensor())), "an integer as a key"));
    CHECK(Mentions(FaultOf(Pickle(SomeTensor())), "holds a tensor, not a dict"));
    CHECK(Mentions(FaultOf(Pickle("N")), "holds None, not a dict"));
    CHECK(Mentions(FaultOf(Dict(Text("w") + SomeTensor() + Text("w") + SomeTensor())),
                   "the name 'w' is there twice"));
    CHECK(Mentions(FaultOf(Dict(Text("w\xFF") + SomeTensor())), "not UTF-8"));
    // A dict that contains itself.
    CHECK(Mentions(
        FaultOf(Pickle(std::string("}q\0", 3) + Text("state_dict") + std::string("h\0s", 3))),
        "under 'state_dict', not a tensor"));
  }

  TEST_CASE("keeps within its limits before it takes memory") {
    CHECK(Mentions(FaultOf(Pickle("Nr" + Bytes32(0xFFFFFFFF))), "memo place 4294967295"));
    CHECK(Mentions(FaultOf(Pickle("Nr" + Bytes32(4'000'000))), "memo place 4000000"));
    CHECK(Mentions(FaultOf(Pickle("j" + Bytes32(0xFFFFFFFF))), "which is empty"));
    CHECK(Mentions(FaultOf(Pickle("Nr" + Bytes32(9) + "h\x08")), "memo place 8, which is empty"));
    CHECK(Mentions(FaultOf(Pickle("X" + Bytes32(0xFFFFFFFF))), "a string of 4294967295 bytes"));
    CHECK(Mentions(FaultOf(Pickle("X" + Bytes32(4000) + "x")), "wants 4000 bytes"));
    CHECK(Mentions(FaultOf(Pickle(std::string(1000, '('))), "nests deeper than 64"));
    CHECK(Mentions(FaultOf(Pickle(Global(std::string(300, 'a'), "b"))), "more than 256 bytes"));
    CHECK(Mentions(FaultOf(Pickle(std::string("\x8a\x09") + std::string(9, '\1'))),
                   "integer of 9 bytes"));
    CHECK(Mentions(FaultOf(Pickle("\x95" + Bytes64(~uint64_t{0}))), "a frame of"));
    CHECK(Mentions(FaultOf(Pickle(std::string(1'000'001, 'N'))), "values on the stack"));
    // Tuples in tuples, made without marks, are as deep as they like: nothing walks them.
    std::string deep = ")";
    for (int i = 0; i < 500'000; ++i) deep += '\x85';
    CHECK(Mentions(FaultOf(Pickle(deep)), "holds a tuple, not a dict"));

    PickleLimits limits;
    limits.max_values = 100;
    std::string many;
    for (int i = 0; i < 101; ++i) many += "N0";
    CHECK(Mentions(FaultOf(Pickle(many), limits), "more than 100 values"));
    // One value, many times: in tuples and in dicts it counts each time.
    CHECK(Mentions(FaultOf(Pickle(std::string("Nq\0", 3) + "(" +
                                  [] {
                                    std::string gets;
                                    for (int i = 0; i < 100; ++i) gets += std::string("h\0", 2);
                                    return gets;
                                  }() +
                                  "t"),
                           limits),
                   "more than 100 values"));
    limits = {};
    limits.max_tensors = 1;
    CHECK(Mentions(FaultOf(Dict(Text("a") + SomeTensor() + Text("b") + SomeTensor()), limits),
                   "lists 2 tensors; the limit is 1"));
    limits = {};
    limits.max_bytes = 5;
    CHECK(Mentions(FaultOf(Pickle("NNN0"), limits), "the limit is 5"));
  }

  TEST_CASE("refuses a stack that does not hold what an instruction takes") {
    for (const std::string& instructions : std::vector<std::string>{
             "0",   "R",      ")R",     "b",      "}b", "s",    "}Ns",   "u",    "(u",   "}(Nu",
             "t",   "\x85",   "N\x86",  "NN\x87", "Q",  "\x93", "N\x93", "q",    "\x94", "(N(\x85",
             "N(0", "N(\x94", "}(NN(u", "NN",     "(",  "N(",   "Nu",    "N(NNu"}) {
      CAPTURE(instructions);
      const std::string message = FaultOf(Pickle(instructions));
      CHECK(message != "");
    }
    CHECK(FaultOf("") != "");
    CHECK(Mentions(FaultOf(std::string("\x80\x01N.")), "protocol 1"));
    CHECK(Mentions(FaultOf(std::string("\x80\x06N.")), "protocol 6"));
    CHECK(Mentions(FaultOf("(dp0\n."), "does not begin with its protocol"));
    CHECK(Mentions(FaultOf(Pickle("}") + "x"), "1 bytes follow STOP"));
  }

  TEST_CASE("refuses a pickle cut anywhere and survives any byte being another one") {
    const std::string pickle = Dict(Text("a") + SomeTensor() + Text("b") +
                                    Tensor(Storage("HalfStorage", "1", 8), 1, {3}, {2}));
    REQUIRE(ReadPickle(pickle).ok());
    for (size_t size = 0; size < pickle.size(); ++size) {
      CAPTURE(size);
      CHECK(FaultOf(pickle.substr(0, size)) != "");
    }
    size_t refused = 0;
    for (size_t i = 0; i < pickle.size(); i += test::StepOfAll(7)) {
      for (int value = 0; value < 256; ++value) {
        std::string bent = pickle;
        bent[i] = static_cast<char>(value);
        refused += ReadPickle(bent).ok() ? 0 : 1;
      }
    }
    CHECK(refused > pickle.size() / test::StepOfAll(7) * 100);
  }
}

}  // namespace
}  // namespace graft::converter
