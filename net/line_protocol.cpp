#include "net/line_protocol.h"

#include <algorithm>
#include <new>
#include <string>

namespace karma::net {
namespace {

constexpr const char* out_of_memory_text = "There is not enough memory for this request: nothing was changed";

/// Whether a line is one of those with which an HTTP request begins, of any version: a request line, or
/// a header that each one has.
bool is_http(std::string_view line) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    constexpr std::string_view host = "host:";
    if (line.size() >= host.size() && std::ranges::equal(line.substr(0, host.size()), host, {}, lower)) {
        return true;
    }
    // METHOD, a target, HTTP/ and a number.
    const std::size_t method = line.find(' ');
    const std::size_t version = line.rfind(" HTTP/");
    return method != 0 && method != std::string_view::npos && version != std::string_view::npos &&
           version >= method &&
           std::ranges::all_of(line.substr(0, method), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

Protocol::Taken LineProtocol::take(LineBuffer& input, bool accepts_writes, Request& request, Call& call,
                                   Error& refusal) {
    if (!input.take(line_)) {
        return Taken::nothing;
    }
    call.op = nullptr;
    call.access = Access::Level::none;
    call.bytes = line_.size();
    call.write_error = &ReplyWriter::write_error;
    if (line_.size() > request_bytes_max_) {
        refusal = {ErrorCode::request_too_large,
                   "Request exceeds " + std::to_string(request_bytes_max_) + " bytes"};
        return Taken::last_refusal;
    }
    std::optional<Error> refused;
    try {
        refused = decoder_.decode(line_, accepts_writes, request, call);
    } catch (const std::bad_alloc&) {
        refused = Error{ErrorCode::internal_error, out_of_memory_text};
    }
    if (!refused) {
        return Taken::request;
    }
    if (refused->code == ErrorCode::invalid_json && is_http(line_)) {
        // What a browser sends must not be taken for requests: its body can have any lines.
        refusal = {ErrorCode::invalid_json,
                   "Not valid JSON: this is HTTP, and here JSON requests are taken, one a line. The "
                   "connection is closed"};
        return Taken::last_refusal;
    }
    refusal = std::move(*refused);
    return Taken::refusal;
}

std::optional<ErrorCode> LineProtocol::write(const Call& /*call*/, const Reply& reply, Repetition repetition,
                                             const Deadline& deadline, std::string& out) const {
    return writer_.write(reply, repetition, deadline, out);
}

}  // namespace karma::net
