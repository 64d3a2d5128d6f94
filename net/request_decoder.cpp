#include "net/request_decoder.h"

#include <algorithm>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <boost/system/error_code.hpp>

#include "engine/utf8.h"
#include "net/authorize.h"
#include "net/fast_decoder.h"
#include "net/op_fields.h"

namespace karma::net {

RequestDecoder::RequestDecoder(const Access& access, const DecoderOptions& options)
    : access_(access),
      options_(options),
      fast_(access),
      first_block_(std::make_unique<unsigned char[]>(first_block_bytes)) {
    release();
}

void RequestDecoder::release() noexcept {
    // A new one: releasing alone would leave the size of the next block, which doubles with every block.
    arena_.emplace(first_block_.get(), first_block_bytes);
}

Decoded RequestDecoder::decode(std::string_view line, bool accepts_writes) {
    Request request;
    Call call;
    if (std::optional<Error> refused = decode(line, accepts_writes, request, call)) {
        return std::move(*refused);
    }
    return request;
}

std::optional<Error> RequestDecoder::decode(std::string_view line, bool accepts_writes, Request& request,
                                            Call& call) {
    if (decode_common(line, accepts_writes, request, call)) {
        return std::nullopt;
    }
    Error refused;
    const boost::json::value* const value = parse(line, refused);
    if (value == nullptr) {
        return refused;
    }
    return decode_parsed(*value, accepts_writes, request, call);
}

Decoded RequestDecoder::decode_general(std::string_view line, bool accepts_writes) {
    Error refused;
    const boost::json::value* const value = parse(line, refused);
    if (value == nullptr) {
        return refused;
    }
    Call call;
    return decode_value(*value, accepts_writes, call);
}

const boost::json::value* RequestDecoder::parse(std::string_view line, Error& refused) {
    parser_.reset(&*arena_);
    boost::system::error_code failure;
    parser_.write(line.data(), line.size(), failure);
    if (failure) {
        refused = {ErrorCode::invalid_json, "Not valid JSON: " + failure.message()};
        return nullptr;
    }
    // The value lies in the arena and needs no destructor; it must outlive this function.
    return new (arena_->allocate(sizeof(boost::json::value), alignof(boost::json::value)))
        boost::json::value(parser_.release());
}

std::optional<Error> RequestDecoder::decode_parsed(const boost::json::value& value, bool accepts_writes,
                                                   Request& request, Call& call) {
    Decoded decoded = decode_value(value, accepts_writes, call);
    if (auto* const refused = std::get_if<Error>(&decoded)) {
        return std::move(*refused);
    }
    request = std::get<Request>(decoded);
    return std::nullopt;
}

Decoded RequestDecoder::decode_value(const boost::json::value& value, bool accepts_writes, Call& call) {
    if (!value.is_object()) {
        return Error{ErrorCode::validation_error, "A request must be a JSON object"};
    }
    try {
        return decode_object(value.get_object(), accepts_writes, call);
    } catch (const RequestError& refused) {
        return Error{refused.code(), refused.what()};
    }
}

namespace {

std::string unknown_op_text(std::string_view name) {
    constexpr std::size_t shown_max = 100;
    return "Unknown op " + std::string(shortened_utf8(name, shown_max));
}

/// What the fields of a mutation make, with the idempotency key that the client gave, if any.
Decoded with_key(const Fields& fields, Decoded decoded) {
    const std::optional<std::string_view> key = fields.idempotency_key();
    const Request* const request = std::get_if<Request>(&decoded);
    if (!key || request == nullptr) {
        return decoded;
    }
    return Request(make_keyed(std::get<Mutation>(*request), *key, fields.fingerprint(), fields.arena()));
}

/// What who may only read does not get to see: a producer's idempotency keys, with which its writes could be
/// taken for repeats.
struct HideIdempotencyKeys {
    template <typename Body>
    void operator()(Body& body) const {
        if constexpr (requires { body.shows_idempotency_keys; }) {
            body.shows_idempotency_keys = false;
        }
    }
};

}  // namespace

Decoded RequestDecoder::decode_object(const boost::json::object& object, bool accepts_writes, Call& call) {
    const boost::json::value* const version = object.if_contains("v");
    if (version == nullptr || !version->is_int64() || version->get_int64() != 2) {
        return Error{ErrorCode::unsupported_protocol,
                     "Karma accepts only protocol v2 requests with field v=2"};
    }
    const boost::json::value* const name = object.if_contains("op");
    if (name == nullptr || !name->is_string()) {
        return Error{ErrorCode::validation_error, "Field op is required and must be a string"};
    }
    const boost::json::value* const token = object.if_contains("token");
    const Grant grant =
        access_.grant(token != nullptr && token->is_string() ? token->get_string() : std::string_view());
    call.access = grant.level;
    call.op = find_op(name->get_string());
    if (call.access == Access::Level::none) {
        return Error{ErrorCode::unauthorized, "Unauthorized"};
    }
    if (call.op == nullptr) {
        return Error{ErrorCode::unknown_command, unknown_op_text(name->get_string())};
    }
    const Op& op = *call.op;
    const Denial denial = authorize(op, call.access, accepts_writes);
    if (denial != Denial::none && denial != Denial::role) {
        return denial_error(denial, op);
    }
    if (options_.refuses_unknown_fields) {
        if (std::optional<std::string> unknown = unknown_field(op, object)) {
            return Error{ErrorCode::validation_error, std::move(*unknown)};
        }
    }
    const Fields fields(object, *arena_, options_.response_bytes_max);
    Decoded decoded = op.decode(fields);
    if (op.idempotent) {
        decoded = with_key(fields, std::move(decoded));
    }
    if (auto* const request = std::get_if<Request>(&decoded);
        request != nullptr && call.access == Access::Level::read) {
        std::visit(HideIdempotencyKeys{}, *request);
    }
    if (const auto* const request = std::get_if<Request>(&decoded);
        request != nullptr && grant.series != nullptr && !is_within(*grant.series, *request)) {
        return series_denial(op);
    }
    // A role can change: what is wrong with the request is wrong on every node, and said first.
    if (denial != Denial::none) {
        return denial_error(denial, op);
    }
    return decoded;
}

}  // namespace karma::net
