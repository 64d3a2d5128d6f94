#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/fact.h"
#include "engine/fingerprint.h"
#include "engine/mutation.h"

struct evp_md_ctx_st;
struct evp_md_st;

namespace karma {

/// The operation of a command that takes an idempotency key, or is an ingest chunk; nothing for others.
std::optional<Operation> operation_of(const Mutation& command) noexcept;
/// The same of a fact that has followed from one.
std::optional<Operation> operation_of(const Fact& fact) noexcept;

/// Makes fingerprints: SHA-256 (OpenSSL's) over the canonical lines of protocol v2, `name:type:value` each.
/// Keeps its buffers, so that a fingerprint costs no allocation once warm. Not thread-safe.
class Fingerprinter {
public:
    Fingerprinter();
    Fingerprinter(const Fingerprinter&) = delete;
    Fingerprinter& operator=(const Fingerprinter&) = delete;
    ~Fingerprinter();

    /// Of a command that `operation_of` knows, executed at this time (Unix milliseconds).
    Fingerprint of(const Mutation& command, std::int64_t now_ms);
    /// Of the command that has become this fact.
    Fingerprint of(const Fact& fact);

    /// The lines themselves, valid until the next call.
    std::string_view lines_of(const Mutation& command, std::int64_t now_ms);
    std::string_view lines_of(const Fact& fact);

private:
    Fingerprint digest_of(std::string_view lines);

    struct FreeContext {
        void operator()(evp_md_ctx_st* context) const noexcept;
    };
    struct FreeDigest {
        void operator()(evp_md_st* digest) const noexcept;
    };

    std::unique_ptr<evp_md_st, FreeDigest> digest_;
    std::unique_ptr<evp_md_ctx_st, FreeContext> context_;
    std::vector<char> buffer_;
};

}  // namespace karma
