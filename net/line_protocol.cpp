#include "net/line_protocol.h"

#include <algorithm>
#include <new>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

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

/// Whether a line is the beginning of a TLS handshake, which can hold any lines too: a client chooses the
/// session ticket that a browser or a server repeats to another address.
bool is_tls(std::string_view line) noexcept { return line.starts_with("\x16\x03"); }

/// The name of the protocol that a line begins which is no JSON; null where it is none that is known.
const char* foreign_protocol(std::string_view line) noexcept {
    if (is_http(line)) {
        return "HTTP";
    }
    return is_tls(line) ? "TLS" : nullptr;
}

/// The protocol of a request; nothing where it cannot be told.
std::optional<ReplyForm> form_of(const boost::json::value& value) {
    const boost::json::object* const object = value.if_object();
    if (object == nullptr) {
        return std::nullopt;
    }
    if (object->contains("v")) {
        return ReplyForm::v2;
    }
    if (object->contains("command")) {
        return ReplyForm::v1;
    }
    return object->contains("op") ? std::optional(ReplyForm::v2) : std::nullopt;
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
    answer_as(form_, call);
    if (line_.size() > request_bytes_max_) {
        refusal = {ErrorCode::request_too_large,
                   "Request exceeds " + std::to_string(request_bytes_max_) + " bytes"};
        return Taken::last_refusal;
    }
    std::optional<Error> refused;
    try {
        refused = decode(accepts_writes, request, call);
    } catch (const std::bad_alloc&) {
        refused = Error{ErrorCode::internal_error, out_of_memory_text};
    }
    if (!refused) {
        return Taken::request;
    }
    if (const char* const foreign =
            refused->code == ErrorCode::invalid_json ? foreign_protocol(line_) : nullptr) {
        // What a browser sends must not be taken for requests: its body can have any lines.
        refusal = {ErrorCode::invalid_json, std::string("Not valid JSON: this is ") + foreign +
                                                ", and here JSON requests are taken, one a line. The "
                                                "connection is closed"};
        return Taken::last_refusal;
    }
    refusal = std::move(*refused);
    return Taken::refusal;
}

void LineProtocol::answer_as(ReplyForm form, Call& call) noexcept {
    form_ = form;
    call.form = form;
    call.write_error = error_writer();
}

std::optional<Error> LineProtocol::decode(bool accepts_writes, Request& request, Call& call) {
    return v1_ == nullptr ? decoder_.decode(line_, accepts_writes, request, call)
                          : decode_either(accepts_writes, request, call);
}

std::optional<Error> LineProtocol::decode_either(bool accepts_writes, Request& request, Call& call) {
    if (decoder_.decode_common(line_, accepts_writes, request, call)) {
        answer_as(ReplyForm::v2, call);
        return std::nullopt;
    }
    Error refused;
    const boost::json::value* const value = decoder_.parse(line_, refused);
    if (value == nullptr) {
        return refused;
    }
    answer_as(form_of(*value).value_or(form_), call);
    if (form_ == ReplyForm::v2) {
        return decoder_.decode_parsed(*value, accepts_writes, request, call);
    }
    return v1_->decode(*value, accepts_writes, request, call);
}

std::optional<ErrorCode> LineProtocol::write(const Call& call, const Reply& reply,
                                             Deduplication deduplication, const Deadline& deadline,
                                             std::string& out) const {
    return call.form == ReplyForm::v2 ? writer_.write(reply, deduplication, deadline, out)
                                      : V1ReplyWriter(writer_).write(call.form, reply, deadline, out);
}

}  // namespace karma::net
