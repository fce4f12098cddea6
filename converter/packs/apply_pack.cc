// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "converter/base/cancellation.h"
#include "converter/base/output_file.h"
#include "converter/base/parallel.h"
#include "converter/packs/write_pack.h"

namespace graft::converter {
namespace {

using schema::kNoBlock;
using schema::PackBlock;
using schema::PackStep;

// What one thread copies of the base before it looks whether it is to stop.
constexpr uint64_t kCopiedTogether = uint64_t{8} << 20;

class PackApplier {
 public:
  PackApplier(const schema::VerifiedModel& base, const schema::Pack& pack,
              const PackOptions& options)
      : base_(base), pack_(pack), options_(options) {}

  Status Run() {
    const schema::PackPreamble& preamble = pack_.preamble();
    GRAFT_ASSIGN_OR_RETURN(file_, OutputFile::Create(options_.path, preamble.result_bytes));
    GRAFT_RETURN_IF_ERROR(ParallelFor(
        options_.threads, static_cast<int64_t>(pack_.blocks().size() + pack_.steps().size()),
        [&](int64_t i) {
          const auto at = static_cast<size_t>(i);
          const size_t blocks = pack_.blocks().size();
          return at < blocks ? WriteBlock(at) : WriteCopy(pack_.steps()[at - blocks]);
        }));
    GRAFT_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file_->Map());
    GRAFT_RETURN_IF_ERROR(Check(bytes));
    return file_->Commit();
  }

 private:
  Status WriteBlock(size_t index) {
    thread_local schema::PackWorkspace workspace;
    thread_local std::vector<uint8_t> made;
    const PackBlock& block = pack_.blocks()[index];
    made.resize(block.result_bytes);
    GRAFT_RETURN_IF_ERROR(pack_.MakeBlock(index, base_.file_bytes(), made.data(), &workspace));
    std::span<const uint8_t> rest = made;
    for (uint32_t i = block.first_step; i < block.end_step; ++i) {
      const PackStep& step = pack_.steps()[i];
      if (step.block != index) continue;
      const auto size = static_cast<size_t>(step.bytes);
      GRAFT_RETURN_IF_ERROR(file_->WriteAt(step.offset, rest.first(size)));
      rest = rest.subspan(size);
      Did(size);
    }
    return OkStatus();
  }

  // The file is zeros where nothing is written.
  Status WriteCopy(const PackStep& step) {
    if (step.block != kNoBlock) return OkStatus();
    const std::span<const uint8_t> from = schema::BaseBytesOf(step, base_.file_bytes());
    for (uint64_t done = 0; done < from.size(); done += kCopiedTogether) {
      GRAFT_RETURN_IF_ERROR(CheckCancelled());
      const uint64_t size = std::min<uint64_t>(kCopiedTogether, from.size() - done);
      GRAFT_RETURN_IF_ERROR(file_->WriteAt(step.offset + done, from.subspan(done, size)));
      Did(size);
    }
    return OkStatus();
  }

  Status Check(std::span<const uint8_t> bytes) const {
    const schema::PackPreamble& preamble = pack_.preamble();
    if (!(schema::ContentHash(bytes, {}) == preamble.result_hash)) {
      return Error(StatusCode::kCorrupt,
                   "what the pack makes of this base does not have the hash that the pack gives: "
                   "the base's weights are damaged, or the pack was not made by this program");
    }
    GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel result, schema::Verify(bytes));
    if (result.identity() == preamble.result_identity) return OkStatus();
    return Error(StatusCode::kCorrupt, "the pack makes another model than it says");
  }

  void Did(uint64_t bytes) {
    const uint64_t done = done_.fetch_add(bytes) + bytes;
    if (!options_.progress) return;
    options_.progress(static_cast<int64_t>(done),
                      static_cast<int64_t>(pack_.preamble().result_bytes));
  }

  const schema::VerifiedModel& base_;
  const schema::Pack& pack_;
  const PackOptions& options_;
  std::unique_ptr<OutputFile> file_;
  std::atomic<uint64_t> done_{0};
};

}  // namespace

Status ApplyPack(const schema::VerifiedModel& base, const schema::Pack& pack,
                 const PackOptions& options) {
  return PackApplier(base, pack, options).Run();
}

}  // namespace graft::converter
