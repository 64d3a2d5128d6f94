#include "cli/json_text.h"

#include <algorithm>
#include <cstddef>

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>

namespace karma::cli {

namespace {

bool is_white(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

std::size_t skip_white(std::string_view json, std::size_t at) {
    while (at < json.size() && is_white(json[at])) ++at;
    return at;
}

// `at` is on the opening quote; the result is behind the closing one.
std::size_t skip_string(std::string_view json, std::size_t at) {
    for (++at; at < json.size() && json[at] != '"'; ++at) {
        if (json[at] == '\\') ++at;
    }
    return at + 1;
}

// `at` is on the first byte of a value; the result is behind its last one.
std::size_t skip_value(std::string_view json, std::size_t at) {
    std::size_t depth = 0;
    while (at < json.size()) {
        const char byte = json[at];
        if (byte == '"') {
            at = skip_string(json, at);
        } else if (byte == '{' || byte == '[') {
            ++depth;
            ++at;
            continue;
        } else if (byte == '}' || byte == ']') {
            --depth;
            ++at;
        } else if (depth == 0) {
            // A number or a word: up to what cannot be part of one.
            return std::min(json.find_first_of(",]} \t\r\n", at), json.size());
        } else {
            ++at;
            continue;
        }
        if (depth == 0) return at;
    }
    return json.size();
}

void new_line(std::string& text, std::size_t depth) {
    text += '\n';
    text.append(2 * depth, ' ');
}

}  // namespace

std::string json_string(std::string_view text) {
    return boost::json::serialize(boost::json::string_view(text));
}

std::optional<std::string_view> member_text(std::string_view json, std::string_view name) {
    std::size_t at = skip_white(json, 0);
    if (at == json.size() || json[at] != '{') return std::nullopt;
    at = skip_white(json, at + 1);
    while (at < json.size() && json[at] == '"') {
        const std::size_t name_end = skip_string(json, at);
        const std::string_view found = json.substr(at + 1, name_end - at - 2);
        at = skip_white(json, skip_white(json, name_end) + 1);  // behind the colon
        const std::size_t value_end = skip_value(json, at);
        if (found == name) return json.substr(at, value_end - at);
        at = skip_white(json, skip_white(json, value_end) + 1);  // behind the comma
    }
    return std::nullopt;
}

std::string compact(std::string_view json) {
    std::string text;
    for (std::size_t at = skip_white(json, 0); at < json.size(); at = skip_white(json, at)) {
        const std::size_t end = json[at] == '"' ? skip_string(json, at) : at + 1;
        text += json.substr(at, end - at);
        at = end;
    }
    return text;
}

std::string indented(std::string_view json) {
    std::string text;
    std::size_t depth = 0;
    for (std::size_t at = skip_white(json, 0); at < json.size(); at = skip_white(json, at)) {
        const char byte = json[at];
        if (byte == '"') {
            const std::size_t end = skip_string(json, at);
            text += json.substr(at, end - at);
            at = end;
            continue;
        }
        const std::size_t next = skip_white(json, at + 1);
        if ((byte == '{' || byte == '[') && next < json.size() && (json[next] == '}' || json[next] == ']')) {
            text += byte;
            text += json[next];
            at = next + 1;
            continue;
        }
        if (byte == '}' || byte == ']') new_line(text, --depth);
        text += byte;
        if (byte == ':') text += ' ';
        if (byte == '{' || byte == '[') ++depth;
        if (byte == '{' || byte == '[' || byte == ',') new_line(text, depth);
        ++at;
    }
    return text;
}

}  // namespace karma::cli
