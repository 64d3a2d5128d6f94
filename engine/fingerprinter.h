#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/fingerprint.h"
#include "engine/mutation.h"

struct evp_md_ctx_st;
struct evp_md_st;

namespace karma {

/// The operation of a mutation that takes an idempotency key, or is an ingest chunk; nothing for others.
std::optional<Operation> operation_of(const Mutation& body) noexcept;

/// Makes fingerprints: SHA-256 (OpenSSL's) over the canonical lines of protocol v2, `name:type:value` each.
/// Keeps its buffers, so that a fingerprint costs no allocation once warm. Not thread-safe.
class Fingerprinter {
public:
    Fingerprinter();
    Fingerprinter(const Fingerprinter&) = delete;
    Fingerprinter& operator=(const Fingerprinter&) = delete;
    ~Fingerprinter();

    /// Of a mutation that `operation_of` knows, with its days resolved.
    Fingerprint of(const Mutation& body);

    /// The lines themselves, valid until the next call.
    std::string_view lines_of(const Mutation& body);

private:
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
