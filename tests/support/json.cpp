#include "tests/support/json.h"

#include <stdexcept>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

namespace karma::test {

namespace {

// Stands before the digits of a big integer, in a string that no server sends.
constexpr std::string_view big_integer_mark = "integer beyond 64 bits: ";

std::string shortened(std::string_view text) {
    constexpr std::size_t limit = 500;
    return text.size() <= limit
               ? std::string(text)
               : std::string(text.substr(0, limit)) + "... (" + std::to_string(text.size()) + " bytes)";
}

// What boost::json::basic_parser calls; the names are its own.
struct ExactHandler {
    static constexpr std::size_t max_object_size = json::object::max_size();
    static constexpr std::size_t max_array_size = json::array::max_size();
    static constexpr std::size_t max_key_size = json::string::max_size();
    static constexpr std::size_t max_string_size = json::string::max_size();

    using Text = json::string_view;
    using Error = boost::system::error_code;

    json::value_stack stack;

    bool on_document_begin(Error&) { return true; }
    bool on_document_end(Error&) { return true; }
    bool on_object_begin(Error&) { return true; }
    bool on_object_end(std::size_t size, Error&) { return stack.push_object(size), true; }
    bool on_array_begin(Error&) { return true; }
    bool on_array_end(std::size_t size, Error&) { return stack.push_array(size), true; }
    bool on_key_part(Text text, std::size_t, Error&) { return stack.push_chars(text), true; }
    bool on_key(Text text, std::size_t, Error&) { return stack.push_key(text), true; }
    bool on_string_part(Text text, std::size_t, Error&) { return stack.push_chars(text), true; }
    bool on_string(Text text, std::size_t, Error&) { return stack.push_string(text), true; }
    bool on_number_part(Text, Error&) { return true; }
    bool on_int64(std::int64_t number, Text, Error&) { return stack.push_int64(number), true; }
    bool on_uint64(std::uint64_t number, Text, Error&) { return stack.push_uint64(number), true; }
    bool on_double(double number, Text text, Error&) {
        if (text.find_first_not_of("-0123456789") == Text::npos) {
            stack.push_string(std::string(big_integer_mark).append(text.data(), text.size()));
        } else {
            stack.push_double(number);
        }
        return true;
    }
    bool on_bool(bool value, Error&) { return stack.push_bool(value), true; }
    bool on_null(Error&) { return stack.push_null(), true; }
    bool on_comment_part(Text, Error&) { return true; }
    bool on_comment(Text, Error&) { return true; }
};

}  // namespace

json::value parse_json(std::string_view text) {
    json::basic_parser<ExactHandler> parser{json::parse_options()};
    parser.handler().stack.reset();
    boost::system::error_code error;
    const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
    if (error) throw std::runtime_error("not JSON (" + error.message() + "): " + shortened(text));
    if (used != text.size()) throw std::runtime_error("more than one JSON value: " + shortened(text));
    return parser.handler().stack.release();
}

json::value big_integer(std::string_view digits) {
    return json::value(std::string(big_integer_mark).append(digits));
}

const json::value& member(const json::value& object, std::string_view name) {
    const json::value* found = object.is_object() ? object.get_object().if_contains(name) : nullptr;
    if (found == nullptr) {
        throw std::runtime_error("no member " + std::string(name) + " in " +
                                 shortened(json::serialize(object)));
    }
    return *found;
}

std::uint64_t as_number(const json::value& value) {
    if (value.is_uint64()) return value.get_uint64();
    if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
    throw std::runtime_error("not an integer from 0 to 2^64-1: " + shortened(json::serialize(value)));
}

}  // namespace karma::test
