#include "net/v1_reply_writer.h"

namespace karma::net {
namespace {

constexpr ReplyWriter::Frame v1_frame{R"({"protocol_version":1,"success":true,"response":)",
                                      ",\"error_code\":null}\r\n", &V1ReplyWriter::write_error, false};

ErrorCode v1_code(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_json:
        case ErrorCode::unknown_command:
        case ErrorCode::validation_error:
        case ErrorCode::not_found:
        case ErrorCode::unauthorized:
        case ErrorCode::request_too_large:
        case ErrorCode::internal_error: return code;
        case ErrorCode::unsupported_protocol:
        case ErrorCode::forbidden:
        case ErrorCode::response_too_large:
        case ErrorCode::query_timeout:
        case ErrorCode::idempotency_conflict:
        case ErrorCode::replication_gap:
        case ErrorCode::replication_error:
        case ErrorCode::resource_exhausted: break;
    }
    return ErrorCode::internal_error;
}

}  // namespace

std::optional<ErrorCode> V1ReplyWriter::write(ReplyForm form, const Reply& reply, const Deadline& deadline,
                                              std::string& out) const {
    if (form == ReplyForm::v1_true && !std::holds_alternative<Error>(reply)) {
        return writer_.write_framed(reply::Deleted{}, v1_frame, deadline, out);
    }
    return writer_.write_framed(reply, v1_frame, deadline, out);
}

void V1ReplyWriter::write_error(const Error& error, std::string& out) {
    append_error_line(R"({"protocol_version":1,"success":false,"response":)", error.message,
                      error_code_name(v1_code(error.code)), out);
}

}  // namespace karma::net
