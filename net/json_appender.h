#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "engine/day.h"
#include "engine/number.h"
#include "engine/scan.h"
#include "net/base64.h"

namespace karma::net {

/// Appends JSON to a string.
class Json {
public:
    explicit Json(std::string& out) : out_(out) {}

    Json& raw(std::string_view text) {
        out_.append(text);
        return *this;
    }

    Json& number(std::uint64_t number) {
        char digits[20];
        const auto written = std::to_chars(digits, digits + sizeof digits, number);
        out_.append(digits, static_cast<std::size_t>(written.ptr - digits));
        return *this;
    }

    Json& number(Uint128 number) {
        return number >> 64U == 0 ? this->number(static_cast<std::uint64_t>(number))
                                  : raw(to_decimal(number));
    }

    Json& number(std::int64_t number) { return raw(std::to_string(number)); }

    Json& day(Day day) { return number(std::uint64_t{day_to_yyyymmdd(day)}); }

    Json& text(std::string_view text) { return raw(boost::json::serialize(boost::json::string_view(text))); }

    /// Without quotes; see append_base64.
    Json& base64(std::string_view bytes) {
        append_base64(bytes, out_);
        return *this;
    }

    template <typename Text>
    Json& text_or_null(const std::optional<Text>& value) {
        return value ? text(*value) : raw("null");
    }

    /// `[{"key":1,"<name>":2}, ...]`
    Json& key_values(const std::vector<KeyValue>& items, std::string_view name) {
        raw("[");
        // Lists are long: they are put together in pieces, which are appended as a whole.
        const std::string between = ",\"" + std::string(name) + "\":";
        const std::size_t item_bytes_max = 64 + between.size();
        std::array<char, 1024> piece{};
        char* at = piece.data();
        char* const end = piece.data() + piece.size();
        std::string_view begin = "{\"key\":";
        for (const KeyValue& item : items) {
            if (static_cast<std::size_t>(end - at) < item_bytes_max) {
                out_.append(piece.data(), at);
                at = piece.data();
            }
            at = std::copy(begin.begin(), begin.end(), at);
            at = std::to_chars(at, end, item.key).ptr;
            at = std::copy(between.begin(), between.end(), at);
            at = std::to_chars(at, end, item.value).ptr;
            *at++ = '}';
            begin = ",{\"key\":";
        }
        out_.append(piece.data(), at);
        return raw("]");
    }

    std::size_t size() const noexcept { return out_.size(); }
    /// Takes back what was written behind this size.
    void resize(std::size_t size) { out_.resize(size); }

private:
    std::string& out_;
};

}  // namespace karma::net
