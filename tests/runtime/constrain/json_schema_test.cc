// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/json/json_schema.h"

#include "tests/runtime/constrain/constrain_fixture.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

using runtime::CompileJsonSchema;

TEST_SUITE("text/constrain/json_schema") {
  TEST_CASE("types, values and numbers") {
    const TextCase cases[] = {
        {"true",
         {"1", "null", "[1, {\"a\": []}]", "\"x\\n\\u00e4\\ud83d\\ude00\"", "-1.5e+3"},
         {"", "01", "+1", ".5", "1.", "nul", "[1,]", "{a:1}", "\"\\ud83d\"", "\"\n\"", "\"\\x\""}},
        {R"({"type": "integer"})", {"0", "-5", "12"}, {"1.0", "-0", "1e2", "05"}},
        {R"({"type": ["null", "boolean"]})", {"null", "true", "false"}, {"0", "\"\""}},
        {R"({"enum": [1, "a", null, [1, 2], {"b": 1.5}]})",
         {"1", "\"a\"", "null", "[1,2]", "[1, 2]", "{\"b\": 1.5}"},
         {"2", "a", "[1]", "{\"b\":1}"}},
        {R"({"const": "x\"y"})", {"\"x\\\"y\""}, {"\"x\"", "x"}},
        {R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"}},
        {R"({"type": "integer", "minimum": -3, "maximum": 12})",
         {"-3", "-1", "0", "9", "10", "12"},
         {"-4", "13", "20", "100"}},
        {R"({"type": "number", "exclusiveMinimum": 0.5, "maximum": 10})",
         {"0.51", "1", "9.999", "10", "10.0"},
         {"0.5", "0.50", "0", "-1", "10.01", "11"}},
        {R"({"type": "number", "minimum": -0.25, "exclusiveMaximum": 0})",
         {"-0.25", "-0.1"},
         {"0", "0.0", "-0.26", "-1", "-0.0"}},
        {R"({"type": "integer", "multipleOf": 7, "minimum": 0})",
         {"0", "7", "49", "700"},
         {"1", "48", "-7"}},
        {R"({"type": "number", "multipleOf": 0.05})",
         {"0.05", "1.1", "-3", "2.150"},
         {"0.01", "1.12", "0.051"}},
        {R"({"type": "integer", "maximum": 2147483647, "minimum": -2147483648})",
         {"2147483647", "-2147483648"},
         {"2147483648", "-2147483649", "9999999999"}},
        {R"({"not": {"type": "string"}})", {"1", "[]"}, {"\"a\""}},
        {R"({"not": {"type": "string", "minLength": 2}})", {"\"a\"", "1"}, {"\"ab\""}},
        {R"({"not": {"type": "string", "maxLength": 2}})", {"\"abc\"", "1"}, {"\"ab\""}},
        {R"({"not": {"type": "array", "minItems": 2}})", {"[1]", "1"}, {"[1,2]"}},
        {R"({"not": {"type": "array", "maxItems": 1}})", {"[1,2]", "1"}, {"[1]", "[]"}},
        {R"({"not": {"type": "object", "minProperties": 1}})", {"{}", "1"}, {"{\"a\":1}"}},
        {R"({"not": {"type": "object", "maxProperties": 0}})", {"{\"a\":1}", "1"}, {"{}"}},
        {R"({"not": {"type": "number", "minimum": 5}})", {"4", "[]"}, {"5", "6"}},
        {R"({"not": {"type": "number", "maximum": 5}})", {"6", "[]"}, {"5", "4"}},
        {R"({"not": {"type": "number", "exclusiveMinimum": 5}})", {"5", "[]"}, {"6"}},
        {R"({"not": {"type": "number", "exclusiveMaximum": 5}})", {"5", "[]"}, {"4"}},
        {R"({"type": "integer", "not": {"enum": [3, 4]}})", {"2", "5", "34"}, {"3", "4"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
  }

  TEST_CASE("strings") {
    const TextCase cases[] = {
        {R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {"\"ab\"", "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\\n\\\"\""},
         {"\"a\"", "\"abcd\""}},
        {R"({"type": "string", "maxLength": 2147483648})", {"\"\"", "\"abc\""}, {"abc"}},
        {R"({"type": "string", "pattern": "^[a-c]+$"})", {"\"abc\""}, {"\"\"", "\"abd\""}},
        {R"({"type": "string", "pattern": "b"})", {"\"abc\"", "\"b\""}, {"\"ac\""}},
        {R"({"type": "string", "pattern": "^b*"})", {"\"abc\"", "\"\"", "\"a\\n\""}, {"1"}},
        {R"({"type": "string", "pattern": "^b*$"})", {"\"bb\"", "\"\""}, {"\"abc\""}},
        {R"({"type": "string", "pattern": "^a|c$"})", {"\"ab\"", "\"bc\""}, {"\"ba\""}},
        {R"({"type": "string", "pattern": "^[a-z]*$", "minLength": 2, "maxLength": 4})",
         {"\"ab\"", "\"abcd\""},
         {"\"a\"", "\"abcde\"", "\"aB\""}},
        {R"({"type": "string", "pattern": "^\\s\"$"})",
         {"\" \\\"\"", "\"\\t\\\"\""},
         {"\"\t\\\"\""}},
        {R"({"type": "string", "not": {"const": "no"}})", {"\"n\"", "\"not\""}, {"\"no\""}},
        {R"({"format": "date", "type": "string"})",
         {"\"2024-02-29\"", "\"2023-12-31\""},
         {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-13-01\"", "\"2023-04-31\"",
          "\"0000-01-01\""}},
        {R"({"format": "time", "type": "string"})",
         {"\"23:59:59Z\"", "\"01:02:03.25+01:30\""},
         {"\"24:00:00Z\"", "\"01:02:03\""}},
        {R"({"format": "date-time", "type": "string"})",
         {"\"2000-02-29T00:00:00Z\""},
         {"\"2000-02-30T00:00:00Z\"", "\"2000-02-29\""}},
        {R"({"format": "uuid", "type": "string"})",
         {"\"123e4567-e89b-12d3-a456-426614174000\""},
         {"\"123e4567e89b12d3a456426614174000\""}},
        {R"({"format": "email", "type": "string"})",
         {"\"a.b+c@example.org\""},
         {"\"a..b@example.org\"", "\"a\"", "\"a@-x.org\""}},
        {R"({"format": "ipv4", "type": "string"})",
         {"\"127.0.0.1\"", "\"255.255.255.255\""},
         {"\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""}},
        {R"({"format": "ipv6", "type": "string"})",
         {"\"::1\"", "\"::\"", "\"2001:db8::8a2e:370:7334\"", "\"::ffff:1.2.3.4\"",
          "\"1:2:3:4:5:6:7:8\""},
         {"\"1:2:3\"", "\":::\"", "\"1::2::3\"", "\"12345::\""}},
        {R"({"format": "uri", "type": "string"})",
         {"\"https://www.w3.org:80/a/b?c=d#e\"", "\"mailto:a@b.c\"", "\"http://[::1]/\""},
         {"\"example.org\"", "\"http:// b\"", "\"//x\""}},
        {R"({"format": "of our own", "type": "string"})", {"\"x\""}, {"x"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
  }

  TEST_CASE("arrays") {
    const TextCase cases[] = {
        {R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
         {"[1]", "[1, 2,3]", "[\n  1,\n  2\n]"},
         {"[]", "[1,2,3,4]", "[\"a\"]", "[1,]"}},
        {R"({"type": "array", "items": {"type": "null"}, "minItems": 1000})",
         {"[null" +
          [] {
            std::string s;
            for (int i = 1; i < 1000; ++i) s += ",null";
            return s;
          }() +
          "]"},
         {"[null]"}},
        {R"({"type": "array", "items": false})", {"[]", "[ ]"}, {"[1]"}},
        {R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}})",
         {"[]", "[1]", "[1, 2]", "[1, 2, 3, 3]"},
         {"[2]", "[1, 3]", "[1, 2, 4]"}},
        {R"({"$schema": "draft-07", "type": "array",
             "items": [{"const": 1}], "additionalItems": false})",
         {"[]", "[1]"},
         {"[1, 1]", "[2]"}},
        {R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2, "maxItems": 2})",
         {"[1, 2]"},
         {"[1]", "[1, 2, 3]"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
  }

  TEST_CASE("objects") {
    const TextCase cases[] = {
        {R"({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
             "required": ["a"], "additionalProperties": false})",
         {"{\"a\": 1}", "{\"a\":1,\"b\":2}", "{\"b\": 2, \"a\": 1}", "{\n  \"a\": 1\n}"},
         {"{}", "{\"b\": 2}", "{\"a\": 2}", "{\"a\": 1, \"a\": 1}", "{\"a\": 1, \"c\": 1}",
          "{\"a\": 1,}"}},
        {R"({"type": "object", "properties": {"a": {"const": 1}}})",
         {"{}", "{\"x\": [], \"a\": 1}", "{\"ab\": 2}", "{\"\\n\": 2}"},
         {"{\"a\": 2}", "{\"x\": 1, \"a\": 2}", "{\"\\u0061\": 2}"}},
        {R"({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1,
             "maxProperties": 3})",
         {"{\"a\": null, \"b\": null}", "{\"a\": null}"},
         {"{}", "{\"a\": 1, \"b\": null}", "{\"a\": null, \"b\": null, \"c\": null, \"d\": null}"}},
        {R"({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "minProperties": 2,
             "maxProperties": 2})",
         {"{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"x\": 3}", "{\"x\": 3, \"a\": 1}"},
         {"{\"a\": 1}", "{\"x\": 1, \"x\": 2}", "{\"x\": 1, \"y\": 2}"}},
        {R"({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "minProperties": 3})",
         {"{\"a\": 1, \"b\": 2, \"x\": 1}", "{\"x\": 1, \"y\": 2, \"b\": 2, \"a\": 1}"},
         {"{\"a\": 1, \"b\": 2}", "{\"x\": 1, \"x\": 2, \"a\": 1}"}},
        {R"({"type": "object", "properties": {"a": true, "b": true, "c": true}, "required": ["c"],
             "maxProperties": 2, "minProperties": 2, "additionalProperties": false})",
         {"{\"a\": 1, \"c\": 1}", "{\"c\": 1, \"b\": 1}"},
         {"{\"c\": 1}", "{\"a\": 1, \"b\": 1}"}},
        {R"({"type": "object", "patternProperties": {"^i_": {"type": "integer"}, "s$": {"minimum": 5}},
             "additionalProperties": false})",
         {"{\"i_a\": 1}", "{\"i_s\": 6}", "{\"xs\": \"a\"}"},
         {"{\"i_s\": 1}", "{\"x\": 1}", "{\"i_a\": \"\"}"}},
        {R"({"type": "object", "propertyNames": {"pattern": "^[a-c]+$"}, "required": ["a"]})",
         {"{\"a\": 1, \"bc\": 2}"},
         {"{\"d\": 1, \"a\": 1}", "{\"b\": 1}"}},
        {R"({"type": "object", "required": ["z"], "properties": {"y": false}})",
         {"{\"z\": 1}", "{\"z\": 1, \"x\": 1}"},
         {"{}", "{\"y\": 1, \"z\": 1}"}},
        {R"({"type": "object", "dependentRequired": {"a": ["b"]}})",
         {"{}", "{\"b\": 1}", "{\"a\": 1, \"b\": 1}", "{\"b\": 1, \"a\": 1}"},
         {"{\"a\": 1}", "{\"a\": 1, \"c\": 1}"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
  }

  TEST_CASE("properties stand in the schema's order if told so") {
    constexpr const char* kSchema =
        R"({"type": "object", "properties": {"b": true, "a": true}, "required": ["a", "c"]})";
    CheckTexts({kSchema,
                {"{\"b\": 1, \"a\": 1, \"c\": 1, \"d\": 1}", "{\"a\": 1, \"c\": 1}"},
                {"{\"a\": 1, \"b\": 1, \"c\": 1}", "{\"c\": 1, \"a\": 1}",
                 "{\"d\": 1, \"a\": 1, \"c\": 1}"}},
               CompileJsonSchema(kSchema, /*in_order=*/true));
  }

  TEST_CASE("schemas made of schemas") {
    const TextCase cases[] = {
        {R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})",
         {"1", "\"a\""},
         {"\"ab\"", "null"}},
        {R"({"allOf": [{"minimum": 3}, {"maximum": 5}], "type": "integer"})",
         {"3", "5"},
         {"2", "6"}},
        {R"({"oneOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 5}]})",
         {"2", "6"},
         {"3", "4", "5"}},
        {R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
         {"{\"a\": 1}", "{\"b\": 1, \"c\": 1}"},
         {"{}", "{\"a\": 1, \"b\": 1}"}},
        {R"({"oneOf": [{"properties": {"k": {"const": "x"}, "v": {"type": "integer"}}, "required": ["k"], "type": "object"},
                       {"properties": {"k": {"const": "y"}, "v": {"type": "string"}}, "required": ["k"], "type": "object"}]})",
         {"{\"k\": \"x\", \"v\": 1}", "{\"v\": \"s\", \"k\": \"y\"}"},
         {"{\"k\": \"x\", \"v\": \"s\"}", "{\"v\": 1}"}},
        {R"({"type": "object", "if": {"properties": {"a": {"const": 1}}, "required": ["a"]},
             "then": {"required": ["b"]}, "else": {"required": ["c"]}})",
         {"{\"a\": 1, \"b\": 1}", "{\"a\": 2, \"c\": 1}", "{\"c\": 1}"},
         {"{\"a\": 1}", "{\"a\": 1, \"c\": 1}", "{}"}},
        {R"({"$defs": {"t": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/t"}},
             "required": ["v"], "additionalProperties": false}}, "$ref": "#/$defs/t"})",
         {"{\"v\": 1}", "{\"v\": 1, \"next\": {\"next\": {\"v\": 3}, \"v\": 2}}"},
         {"{}", "{\"v\": 1, \"next\": {}}"}},
        {R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[], [[]]]"}, {"[1]"}},
        {R"({"allOf": [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"maximum": 2}}}],
             "properties": {"a": {"type": "integer"}}, "required": ["a"], "type": "object"})",
         {"{\"a\": 1}", "{\"a\": 2}"},
         {"{\"a\": 0}", "{\"a\": 3}"}},
        {R"({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}})", {"1"}, {"2"}},
        {R"({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "const": 1}}})", {"1"}, {"2"}},
        {R"({"type": "object", "not": {"required": ["a", "b"]}})",
         {"{\"a\": 1}", "{\"b\": 1}", "{}"},
         {"{\"a\": 1, \"b\": 2}"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
  }

  TEST_CASE("names stay while schemas are made of the schema") {
    std::string names;
    for (int i = 0; i < 40; ++i) {
      names += (i == 0 ? "" : ", ") + ("\"a name that is long enough " + std::to_string(i) + "\"");
    }
    CheckSchema(
        {R"({"oneOf": [{"type": "object", "required": ["x"]}, {"type": "object", "required": [)" +
             names + "]}]}",
         {"{\"x\": 1}"},
         {"{}"}});
  }

  TEST_CASE("a choice of so many ways that they are not held against each other") {
    std::string ways = R"({"const": "x"}, {"type": "object"})";
    for (int i = 0; i < 1200; ++i) ways += ", {\"const\": " + std::to_string(3 * i) + "}";
    CheckSchema({R"({"type": ["integer", "null"], "anyOf": [)" + ways + "]}",
                 {"0", "3", "3597"},
                 {"1", "3600", "\"x\"", "{}", "null"}});
  }

  TEST_CASE("properties and definitions of which there are many are found by their names") {
    std::string properties;
    std::string definitions;
    for (int i = 0; i < 40; ++i) {
      const std::string number = std::to_string(i);
      const char* const comma = i == 0 ? "" : ",";
      properties.append(comma).append("\"p" + number + R"(":{"$ref":"#/$defs/d)" + number + "\"}");
      definitions.append(comma).append("\"d" + number + R"(":{"const":)" + number + "}");
    }
    CheckSchema({R"({"type":"object","additionalProperties":false,"properties":{)" + properties +
                     R"(},"$defs":{)" + definitions + "}}",
                 {"{}", "{\"p3\": 3, \"p39\": 39}", "{\"p32\": 32}"},
                 {"{\"p3\": 39}", "{\"p39\": 3}", "{\"p40\": 40}", "{\"d3\": 3}"}});
  }

  TEST_CASE("items that are all different, where a schema lists them") {
    const TextCase cases[] = {
        {R"({"type": "array", "items": {"enum": ["a", "b", 3]}, "uniqueItems": true})",
         {"[]", "[\"b\"]", "[\"b\", \"a\"]", "[3,\"a\",\"b\"]"},
         {"[\"a\", \"a\"]", "[3, \"a\", 3]", "[\"a\",]", "[4]"}},
        {R"({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true, "minItems": 2})",
         {"[true, false]", "[false,true]"},
         {"[]", "[true]", "[true, true]", "[true, false, true]"}},
        {R"({"type": "array", "items": {"$ref": "#/$defs/c"}, "uniqueItems": true, "minItems": 1, "maxItems": 2,
             "$defs": {"c": {"enum": [1, 1.0, 2, 3, null], "type": "integer", "maximum": 2}}})",
         {"[1]", "[2, 1]"},
         {"[]", "[1, 1]", "[3]", "[null]", "[1.0]"}},
        {R"({"type": "array", "items": {"enum": [{"a": 1}, [2]]}, "uniqueItems": true})",
         {"[{\"a\": 1}, [2]]", "[[2]]"},
         {"[[2], [2]]", "[[ 2], [2]]"}},
        {R"({"type": "array", "items": {"const": 7}, "uniqueItems": true, "maxItems": 9})",
         {"[7]", "[]"},
         {"[7, 7]"}},
        {R"({"type": "array", "items": {"type": "string"}, "uniqueItems": true, "maxItems": 1})",
         {"[\"x\"]"},
         {"[\"x\", \"y\"]"}},
    };
    for (const TextCase& texts : cases) CheckSchema(texts);
    for (const char* impossible :
         {R"({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": true, "minItems": 3})",
          R"({"type": "array", "items": {"type": "null"}, "uniqueItems": true, "minItems": 2})"}) {
      CheckRefused(CompileJsonSchema(impossible, false), StatusCode::kInvalidArgument, "no text");
    }
    for (
        const char* unknown :
        {R"({"type": "array", "items": {"type": "string"}, "uniqueItems": true})",
         R"({"type": "array", "items": {"anyOf": [{"const": 1}, {"const": 2}]}, "uniqueItems": true})",
         R"({"type": "array", "prefixItems": [{"const": 1}], "uniqueItems": true})"}) {
      CheckRefused(CompileJsonSchema(unknown, false), StatusCode::kUnsupported, "uniqueItems");
    }
  }

  TEST_CASE("refuses what is not supported, by keyword and place") {
    const auto refused = [](const char* schema, StatusCode code, const char* part) {
      CAPTURE(schema);
      CheckRefused(CompileJsonSchema(schema, false), code, part);
    };
    refused(R"({"properties": {"a": {"type": "array", "uniqueItems": true}}})",
            StatusCode::kUnsupported, "'uniqueItems' at #/properties/a");
    refused(R"({"type": "object", "minProperties": 2})", StatusCode::kUnsupported,
            "'minProperties' at #");
    refused(R"({"type": "array", "contains": {"const": 1}})", StatusCode::kUnsupported,
            "'contains' at #");
    refused(R"({"unevaluatedProperties": false})", StatusCode::kUnsupported,
            "unevaluatedProperties");
    refused(R"({"$ref": "other.json"})", StatusCode::kUnsupported, "outside of the schema");
    refused(R"({"$ref": "#/nowhere"})", StatusCode::kInvalidArgument, "leads nowhere");
    refused(R"({"type": "string", "format": "iri"})", StatusCode::kUnsupported,
            "format 'iri' at #");
    refused(R"({"type": "string", "pattern": "a\\b"})", StatusCode::kUnsupported, "pattern at #");
    refused(R"({"type": "string", "pattern": "("})", StatusCode::kInvalidArgument, "pattern at #");
    refused(R"({"oneOf": [{"format": "date"}, {"format": "time"}]})", StatusCode::kUnsupported,
            "'oneOf' at #");
    refused(R"({"type": "strin"})", StatusCode::kInvalidArgument, "none of JSON's");
    refused(R"({"type": "integer", "minimum": 3, "maximum": 2})", StatusCode::kInvalidArgument,
            "no text");
    refused(R"({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}})",
            StatusCode::kInvalidArgument, "no text");
    refused("[]", StatusCode::kInvalidArgument, "neither an object");
    refused("{", StatusCode::kInvalidArgument, "not JSON");
    refused("{\"a\": 1, \"a\": 2}", StatusCode::kInvalidArgument, "twice");
  }

  TEST_CASE("what is hostile is refused or quick" * doctest::skip(kSomeOfAll)) {
    const std::string deep = std::string(10000, '[') + std::string(10000, ']');
    CheckRefused(CompileJsonSchema("{\"enum\": " + deep + "}", false), StatusCode::kInvalidArgument,
                 "nested deeper");
    std::string nested = "true";
    for (int i = 0; i < 10000; ++i) nested = "{\"items\":" + nested + "}";
    CheckRefused(CompileJsonSchema(nested, false), StatusCode::kInvalidArgument, "nested deeper");
    CheckSchema(
        {R"({"type": "array", "minItems": 0, "maxItems": 4294967294, "items": {"type": "string", "minLength": 1, "maxLength": 2147483648}})",
         {"[]", "[\"a\"]"},
         {"[\"\"]"}});
    // Each choice doubles the ways; they meet again.
    std::string any = "{\"allOf\": [";
    for (int i = 0; i < 30; ++i) {
      any += (i == 0 ? "" : ",") + std::string(R"({"anyOf": [{"minimum": 1}, {"maximum": )") +
             std::to_string(i) + "}]}";
    }
    const auto many = CompileJsonSchema(any + "]}", false);
    if (!many.ok()) CHECK(many.status().code() == StatusCode::kInvalidArgument);
  }

  TEST_CASE("texts of any depth are followed") {
    auto grammar = CompileJsonSchema(R"({"type": "array", "items": {"$ref": "#"}})", false);
    REQUIRE(grammar.ok());
    runtime::Recognizer recognizer(std::move(*grammar));
    CHECK(Allows(&recognizer, std::string(10000, '[') + std::string(10000, ']')));
    CHECK(!Allows(&recognizer, std::string(10000, '[') + std::string(9999, ']')));
  }
}

}  // namespace
}  // namespace graft::test
