#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace karma {

/// Why a request was refused: the error codes of protocol v2.
enum class ErrorCode : std::uint8_t {
    invalid_json,
    unsupported_protocol,
    unknown_command,
    validation_error,
    not_found,
    unauthorized,
    forbidden,
    request_too_large,
    response_too_large,
    query_timeout,
    idempotency_conflict,
    replication_gap,
    replication_error,
    internal_error,
    resource_exhausted,  // a budget of the daemon is used up: of connections, series or memory
};

/// The code as the protocol writes it.
std::string_view error_code_name(ErrorCode code) noexcept;

/// A refused request: nothing was changed. `message` is a sentence for a person.
struct Error {
    ErrorCode code = ErrorCode::internal_error;
    std::string message;
};

/// Thrown to refuse a request, below the code that answers it.
class RequestError : public std::runtime_error {
public:
    RequestError(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

    ErrorCode code() const noexcept { return code_; }

private:
    ErrorCode code_;
};

/// Stored bytes are damaged: the message says which and where.
class CorruptionError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// An event of another node does not follow from the state before it.
class RefusedEvent : public CorruptionError {
public:
    RefusedEvent(std::optional<ErrorCode> code, const std::string& message)
        : CorruptionError(message), code_(code) {}

    /// The error; nothing if the event is a repeat.
    std::optional<ErrorCode> code() const noexcept { return code_; }

private:
    std::optional<ErrorCode> code_;
};

}  // namespace karma
