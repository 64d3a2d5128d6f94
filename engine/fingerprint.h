#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace karma {

/// The SHA-256 of what a request asks for, without its idempotency key: two requests with the same
/// fingerprint are the same request.
struct Fingerprint {
    std::array<unsigned char, 32> bytes{};

    bool operator==(const Fingerprint&) const = default;

    /// 64 hexadecimal digits, lower case.
    std::string hex() const;
    /// Nothing where the text is not 64 hexadecimal digits, lower case.
    static std::optional<Fingerprint> from_hex(std::string_view text) noexcept;
};

/// The commands of protocol v2 that have a fingerprint. The numbers are part of formats: never changed.
enum class Operation : std::uint8_t {
    increment = 1,
    decrement = 2,
    batch_add = 3,
    batch_set = 4,
    reset = 5,  // of a counter or a series
    batch_reset = 6,
    remove = 7,  // of a range of a counter or a series
    batch_delete_range = 8,
    ingest_begin = 9,
    ingest_chunk = 10,
    multi_add = 11,
};

/// The name of an operation in fingerprints and in karma.idempotency.json; empty for an unknown number.
std::string_view operation_name(Operation operation) noexcept;

}  // namespace karma
