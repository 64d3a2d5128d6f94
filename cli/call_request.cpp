#include "cli/call_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cli/command_line.h"
#include "cli/json_text.h"
#include "cli/text.h"
#include "net/op_fields.h"
#include "net/op_table.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

constexpr std::array<std::string_view, 10> string_fields = {
    "series", "tree", "stream_id", "idempotency_key", "fingerprint",
    "source", "file", "mode",      "granularity",     "token"};

// Newlines are the end of a request; valid JSON has them only where a space does as well.
std::string on_one_line(std::string_view json) {
    std::string line(trimmed(json));
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::replace(line.begin(), line.end(), '\r', ' ');
    return line;
}

std::string field_json(std::string_view name, std::string_view text) {
    boost::system::error_code failure;
    const json::value value = json::parse(text, failure);
    const bool wants_string =
        std::find(string_fields.begin(), string_fields.end(), name) != string_fields.end();
    if (failure || (wants_string && !value.is_string())) return json_string(text);
    return on_one_line(text);
}

// An object under construction, members in the order in which they were first named.
struct Node {
    std::string name;
    std::string json;  // of a value; empty for an object
    std::vector<Node> members;

    Node* find(std::string_view member) {
        const auto found = std::find_if(members.begin(), members.end(),
                                        [&](const Node& node) { return node.name == member; });
        return found == members.end() ? nullptr : &*found;
    }

    void write(std::string& text) const {
        if (!json.empty()) {
            text += json;
            return;
        }
        text += '{';
        for (const Node& member : members) {
            if (&member != &members.front()) text += ',';
            text += json_string(member.name) + ':';
            member.write(text);
        }
        text += '}';
    }
};

void add_field(Node& root, const std::string& argument) {
    const auto equals = argument.find('=');
    if (equals == std::string::npos) throw UsageError(cli::quoted(argument) + ": expected name=value");
    const std::string path = argument.substr(0, equals);

    Node* parent = &root;
    std::size_t start = 0;
    while (true) {
        const auto dot = path.find('.', start);
        const std::string name = path.substr(start, dot - start);
        if (name.empty()) throw UsageError(cli::quoted(argument) + ": a name is empty");
        Node* member = parent->find(name);
        const bool last = dot == std::string::npos;
        if (member != nullptr && (last || !member->json.empty())) {
            throw UsageError(cli::quoted(argument) + ": " + cli::quoted(path.substr(0, dot)) +
                             " has a value already");
        }
        if (member == nullptr) member = &parent->members.emplace_back(Node{name, {}, {}});
        if (last) {
            member->json = field_json(name, std::string_view(argument).substr(equals + 1));
            return;
        }
        parent = member;
        start = dot + 1;
    }
}

/// Refuses a request of a known op with a field that the op does not take: the daemon would pass over it.
void check_fields(std::string_view line) {
    boost::system::error_code failure;
    const json::value request = json::parse(line, failure);
    const json::object* const object = failure ? nullptr : request.if_object();
    if (object == nullptr) return;
    const json::value* const version = object->if_contains("v");
    const json::value* const name = object->if_contains("op");
    if (version == nullptr || *version != 2 || name == nullptr || !name->is_string()) return;
    const net::Op* const op = net::find_op(name->get_string());
    if (op == nullptr) return;
    if (const std::optional<std::string> unknown = net::unknown_field(*op, *object)) {
        throw UsageError(*unknown);
    }
}

}  // namespace

bool looks_like_json(std::string_view argument) {
    const std::string_view text = trimmed(argument);
    return !text.empty() && (text.front() == '{' || text.front() == '[' || text.front() == '"');
}

std::string request_from_json(std::string_view json, std::string_view token) {
    std::string line = on_one_line(json);
    check_fields(line);
    if (token.empty()) return line;
    boost::system::error_code failure;
    const json::value value = json::parse(line, failure);
    if (failure || !value.is_object() || value.as_object().contains("token")) return line;
    std::string member = "\"token\":" + json_string(token);
    if (!value.as_object().empty()) member += ',';
    line.insert(1, member);
    return line;
}

std::string request_from_fields(std::string_view op, std::span<const std::string> fields,
                                std::string_view token) {
    Node root;
    for (const std::string& field : fields) add_field(root, field);

    std::vector<Node> head;
    if (root.find("v") == nullptr) head.push_back(Node{"v", "2", {}});
    if (root.find("op") != nullptr) throw UsageError("\"op\" is given twice: the first argument is the op");
    head.push_back(Node{"op", json_string(op), {}});
    root.members.insert(root.members.begin(), head.begin(), head.end());
    if (!token.empty() && root.find("token") == nullptr) {
        root.members.push_back(Node{"token", json_string(token), {}});
    }
    std::string text;
    root.write(text);
    check_fields(text);
    return text;
}

}  // namespace karma::cli
