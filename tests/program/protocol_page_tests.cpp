// docs/protocol.md: what it shows is what a daemon answers.
#include <algorithm>
#include <deque>
#include <filesystem>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/support/client.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

constexpr std::string_view open_end = "…";

// The lines of the JSON blocks of a page: requests, and the replies of some of them.
std::vector<std::string> example_lines(const std::filesystem::path& page) {
    std::vector<std::string> lines;
    std::istringstream text(read_file(page));
    bool is_example = false;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("```")) {
            is_example = line == "```json";
        } else if (is_example) {
            lines.push_back(line);
        }
    }
    return lines;
}

// Whether a text is as the page has it, where "…" stands for any characters.
bool text_matches(std::string_view pattern, std::string_view text) {
    const std::size_t open = pattern.find(open_end);
    if (open == std::string_view::npos) return pattern == text;
    if (!text.starts_with(pattern.substr(0, open))) return false;
    const std::string_view rest = pattern.substr(open + open_end.size());
    for (std::size_t at = open; at <= text.size(); ++at) {
        if (text_matches(rest, text.substr(at))) return true;
    }
    return false;
}

bool matches(const json::value& want, const json::value& got);

bool object_matches(const json::object& want, const json::object& got) {
    const bool is_open = want.contains(open_end);
    if (!is_open && want.size() != got.size()) return false;
    return std::ranges::all_of(want, [&](const auto& wanted) {
        if (wanted.key() == open_end) return true;
        const json::value* const value = got.if_contains(wanted.key());
        return value != nullptr && matches(wanted.value(), *value);
    });
}

bool array_matches(const json::array& want, const json::array& got) {
    const bool is_open = !want.empty() && want.back() == json::value(open_end);
    const std::size_t count = want.size() - (is_open ? 1 : 0);
    if (is_open ? got.size() < count : got.size() != count) return false;
    for (std::size_t i = 0; i < count; ++i) {
        if (!matches(want[i], got[i])) return false;
    }
    return true;
}

bool matches(const json::value& want, const json::value& got) {
    if (want == json::value(open_end)) return true;
    if (want.is_object() && got.is_object()) return object_matches(want.get_object(), got.get_object());
    if (want.is_array() && got.is_array()) return array_matches(want.get_array(), got.get_array());
    if (want.is_string() && got.is_string()) return text_matches(want.get_string(), got.get_string());
    return want == got;
}

// The first text of a value that a pattern matches, of a member of this name unless that is empty.
std::optional<std::string> find_text(const json::value& in, std::string_view of, std::string_view name,
                                     std::string_view pattern) {
    const auto found_in = [&](const json::value& value, std::string_view called) {
        return find_text(value, called, name, pattern);
    };
    if (in.is_string() && (name.empty() || name == of) && text_matches(pattern, in.get_string())) {
        return std::string(in.get_string());
    }
    if (in.is_object()) {
        for (const auto& member : in.get_object()) {
            if (auto found = found_in(member.value(), member.key())) return found;
        }
    }
    if (in.is_array()) {
        for (const json::value& item : in.get_array()) {
            if (auto found = found_in(item, of)) return found;
        }
    }
    return std::nullopt;
}

// A page's requests and what a daemon answers.
class Reader {
public:
    json::value ask(const std::string& line) {
        json::object request = parse_json(line).as_object();
        for (auto& member : request) {
            if (member.value().is_string() &&
                member.value().get_string().find(open_end) != std::string::npos) {
                member.value() = filled_in(member.key(), std::string(member.value().get_string()));
            }
        }
        replies_.push_front(client_.ask_line(json::serialize(request)));
        return replies_.front();
    }

private:
    // What the latest reply that has it shows, best under this name.
    std::string filled_in(std::string_view name, const std::string& pattern) const {
        for (const std::string_view of : {name, std::string_view()}) {
            for (const json::value& reply : replies_) {
                if (auto found = find_text(member(reply, "response"), "", of, pattern)) return *found;
            }
        }
        throw std::runtime_error("no reply above has what " + pattern + " stands for");
    }

    Daemon daemon_;
    Client client_ = daemon_.connect();
    std::deque<json::value> replies_;  // the latest first
};

}  // namespace

TEST_CASE("protocol page: a daemon answers every example as the page shows it") {
    Reader reader;
    std::string request;
    json::value reply;
    std::size_t compared = 0;
    const std::filesystem::path page =
        test_file("README.md").parent_path().parent_path() / "docs/protocol.md";
    for (const std::string& line : example_lines(page)) {
        const json::value shown = parse_json(line);
        if (shown.as_object().contains("v")) {
            request = line;
            reply = reader.ask(line);
            continue;
        }
        INFO("request ", request, "\nthe page  ", line, "\nthe reply ", json::serialize(reply));
        CHECK(matches(shown, reply));
        ++compared;
    }
    CHECK(compared > 50);
}

TEST_CASE("protocol page: what differs from an example is noticed") {
    const auto same = [](std::string_view want, std::string_view got) {
        return matches(parse_json(want), parse_json(got));
    };
    CHECK(same(R"({"a":"…","b":["x","…"],"c":"1_….tree"})", R"({"a":[1],"b":["x","y"],"c":"1_links.tree"})"));
    CHECK(same(R"({"a":1,"…":"…"})", R"({"b":2,"a":1})"));
    CHECK_FALSE(same(R"({"a":1})", R"({"b":2,"a":1})"));
    CHECK_FALSE(same(R"({"a":1,"…":"…"})", R"({"b":2})"));
    CHECK_FALSE(same(R"(["x","…"])", R"([])"));
    CHECK_FALSE(same(R"(["x"])", R"(["x","y"])"));
    CHECK_FALSE(same(R"("a….tree")", R"("b.tree")"));
    CHECK_FALSE(same(R"("….tree")", R"("b.tree.gz")"));
    CHECK_FALSE(same("1", "2"));
    CHECK_FALSE(same("1", "\"1\""));
}

}  // namespace karma::test
