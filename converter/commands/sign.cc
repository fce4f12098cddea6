// SPDX-License-Identifier: Apache-2.0
// graft-convert keygen and sign, and what verify asks of signatures.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "converter/base/output_file.h"
#include "converter/base/parallel.h"
#include "converter/commands/commands.h"
#include "converter/commands/mapped_model.h"
#include "converter/json/json.h"
#include "converter/sign/file_digests.h"
#include "converter/sign/keys.h"
#include "converter/sign/model_bundle.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

// What the signature of a file is called: beside it, by the kind of key.
std::string SignatureOf(const std::string& given, const std::string& file, KeyKind kind) {
  if (!given.empty()) return given;
  return file + (kind == KeyKind::kEd25519 ? ".sig" : ".sigstore.json");
}

Status CheckEd25519(const VerifyOptions& options, std::span<const uint8_t> file,
                    const PublicKeyFile& key) {
  const std::string path = SignatureOf(options.signature, options.file, KeyKind::kEd25519);
  GRAFT_ASSIGN_OR_RETURN(const auto signature, MappedFile::Open(path));
  const auto digests = schema::ReadSignature(signature->bytes(), {&key.ed25519(), 1});
  if (!digests.ok()) return digests.status().WithContext(path);
  const Status status = CompareDigests(*digests, file, DefaultThreads());
  return status.ok() ? status : status.WithContext(options.file);
}

Status WriteBundle(const SignOptions& options, std::span<const uint8_t> file,
                   const PrivateKey& key) {
  GRAFT_ASSIGN_OR_RETURN(
      const std::string bundle,
      MakeBundle(fs::path(options.file).filename().string(), schema::Sha256Of(file), key));
  const std::string path = SignatureOf(options.output, options.file, KeyKind::kP256);
  GRAFT_ASSIGN_OR_RETURN(const auto output, OutputFile::Create(path, bundle.size()));
  GRAFT_RETURN_IF_ERROR(
      output->WriteAt(0, {reinterpret_cast<const uint8_t*>(bundle.data()), bundle.size()}));
  return output->Commit();
}

}  // namespace

Status CheckSigned(const VerifyOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const PublicKeyFile key, PublicKeyFile::Read(options.key));
  GRAFT_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.file));
  if (key.kind() == KeyKind::kEd25519) return CheckEd25519(options, file->bytes(), key);
  const std::string path = SignatureOf(options.signature, options.file, KeyKind::kP256);
  GRAFT_ASSIGN_OR_RETURN(const std::string bundle, ReadTextFile(path, kMaxBundleBytes));
  return CheckBundle(bundle, path, fs::path(options.file).filename().string(),
                     schema::Sha256Of(file->bytes()), key);
}

Status SignFile(const SignOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Read(options.key));
  GRAFT_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.file));
  if (key.kind() == KeyKind::kP256) return WriteBundle(options, file->bytes(), key);
  const auto digests = DigestFile(file->bytes(), DefaultThreads());
  if (!digests.ok()) return digests.status().WithContext(options.file);
  return WriteSignature(*digests, key,
                        SignatureOf(options.output, options.file, KeyKind::kEd25519));
}

CLI::App* AddVerify(CLI::App& app, VerifyOptions* options) {
  CLI::App* command = app.add_subcommand(
      "verify", "Check a .graft file whole: structure, graph, and the checksum of every byte");
  command->add_option("file", options->file, "The file, or a pack with --key")
      ->required()
      ->type_name("FILE");
  CLI::Option* key = command
                         ->add_option("--key", options->key,
                                      "Also ask whether this public key has signed every byte")
                         ->type_name("KEY.pub");
  command
      ->add_option("--signature", options->signature,
                   "The signature; FILE.sig if not given, or FILE.sigstore.json for a p256 key")
      ->needs(key)
      ->type_name("SIGNATURE");
  command->add_flag("--json", options->json, "Print the result as JSON");
  command->footer(std::string("Examples:\n"
                              "  graft-convert verify mine.graft\n"
                              "  graft-convert verify mine.graft --key ours.key.pub\n") +
                  kExitCodes);
  return command;
}

CLI::App* AddKeygen(CLI::App& app, KeygenOptions* options) {
  CLI::App* command = app.add_subcommand("keygen", "Make a key that signs files");
  command
      ->add_option("-o,--output", options->output,
                   "The private key's file, which must not exist; the public one gets .pub behind "
                   "the name")
      ->required()
      ->type_name("KEY");
  command
      ->add_option("--type", options->type,
                   "ed25519, which devices check, or p256, for bundles of OpenSSF Model Signing")
      ->check(CLI::IsMember({"ed25519", "p256"}))
      ->capture_default_str()
      ->type_name("TYPE");
  command->footer("Example:\n  graft-convert keygen -o ours.key\n");
  return command;
}

CLI::App* AddSign(CLI::App& app, SignOptions* options) {
  CLI::App* command = app.add_subcommand("sign", "Sign a .graft file or a pack");
  command->add_option("file", options->file, "The file")->required()->type_name("FILE");
  command->add_option("--key", options->key, "The private key")->required()->type_name("KEY");
  command
      ->add_option(
          "-o,--output", options->output,
          "The signature's file; FILE.sig if not given, or FILE.sigstore.json of a p256 key")
      ->type_name("SIGNATURE");
  command->footer(
      "Examples:\n"
      "  graft-convert sign mine.graft --key ours.key\n"
      "  graft-convert verify mine.graft --key ours.key.pub\n");
  return command;
}

int RunSign(const SignOptions& options) {
  const Status status = SignFile(options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

int RunKeygen(const KeygenOptions& options) {
  const KeyKind kind = options.type == "p256" ? KeyKind::kP256 : KeyKind::kEd25519;
  const Status status = WriteNewKeys(kind, options.output);
  if (!status.ok()) return ReportFailure(status);
  std::printf("%s: the private key, which signs; keep it to yourself\n%s.pub: the public key\n",
              options.output.c_str(), options.output.c_str());
  return kExitOk;
}

}  // namespace graft::converter
