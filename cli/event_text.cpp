#include "cli/event_text.h"

#include <string_view>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cli/daemon_reply.h"
#include "cli/text.h"
#include "engine/number.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

/// Joins words with commas.
class Words {
public:
    void add(const std::string& word) { text_ += (text_.empty() ? "" : ", ") + word; }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

std::string without_quotes(const std::string& quoted_text) {
    return quoted_text.substr(1, quoted_text.size() - 2);
}

/// A value as it is printed: texts with control characters escaped.
std::string printed(const json::value& value) {
    return value.is_string() ? without_quotes(cli::quoted(value.get_string())) : json::serialize(value);
}

std::string day(const json::value& value) {
    const std::string digits = printed(value);
    return digits.size() == 8 ? digits.substr(0, 4) + "-" + digits.substr(4, 2) + "-" + digits.substr(6)
                              : digits;
}

std::string items(const json::array& all) {
    Uint128 total = 0;
    for (const json::value& item : all) {
        total += (item.is_object() ? item.at("value") : item.at(2)).to_number<std::uint64_t>();
    }
    return counted(all.size(), "item") + ", total " + to_decimal(total);
}

}  // namespace

std::string series_of_entry(const json::object& entry) {
    const std::string series = text_member(entry, "series");
    return series.empty() ? series : without_quotes(cli::quoted(series));
}

std::string facts_of_entry(const json::object& entry) {
    Words words;
    const auto with = [&](std::string_view name, auto&& add) {
        if (const json::value* const value = entry.if_contains(name)) {
            add(*value);
        }
    };
    with("key", [&](const json::value& value) { words.add("key " + printed(value)); });
    with("bucket", [&](const json::value& value) { words.add(day(value)); });
    with("value", [&](const json::value& value) {
        const std::string_view sign = text_member(entry, "op") == "counter.decrement" ? "-" : "+";
        words.add(std::string(sign) + printed(value));
    });
    with("stream_id", [&](const json::value& value) { words.add("stream " + printed(value)); });
    with("mode", [&](const json::value& value) { words.add(printed(value)); });
    with("chunk_seq", [&](const json::value& value) { words.add("chunk " + printed(value)); });
    with("items", [&](const json::value& value) { words.add(items(value.as_array())); });
    with("keys", [&](const json::value& value) { words.add(counted(value.as_array().size(), "key")); });
    with("range",
         [&](const json::value& value) { words.add(day(value.at("from")) + " to " + day(value.at("to"))); });
    with("before", [&](const json::value& value) { words.add("before " + day(value)); });
    with("source", [&](const json::value& value) { words.add("source " + printed(value)); });
    with("offset", [&](const json::value& value) { words.add("offset " + printed(value)); });
    with("event_id", [&](const json::value& value) { words.add("event " + printed(value)); });
    with("epoch", [&](const json::value& value) { words.add("epoch " + printed(value)); });
    with("limit", [&](const json::value& value) { words.add("limit " + printed(value)); });
    with("idempotency_key", [&](const json::value& value) { words.add("once as " + printed(value)); });
    return words.take();
}

}  // namespace karma::cli
