#include "engine/error.h"

namespace karma {

std::string_view error_code_name(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_json: return "invalid_json";
        case ErrorCode::unsupported_protocol: return "unsupported_protocol";
        case ErrorCode::unknown_command: return "unknown_command";
        case ErrorCode::validation_error: return "validation_error";
        case ErrorCode::not_found: return "not_found";
        case ErrorCode::unauthorized: return "unauthorized";
        case ErrorCode::forbidden: return "forbidden";
        case ErrorCode::request_too_large: return "request_too_large";
        case ErrorCode::response_too_large: return "response_too_large";
        case ErrorCode::query_timeout: return "query_timeout";
        case ErrorCode::idempotency_conflict: return "idempotency_conflict";
        case ErrorCode::replication_gap: return "replication_gap";
        case ErrorCode::replication_error: return "replication_error";
        case ErrorCode::internal_error: return "internal_error";
        case ErrorCode::resource_exhausted: return "resource_exhausted";
    }
    return "internal_error";
}

}  // namespace karma
