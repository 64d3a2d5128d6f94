#include "tests/program/replay.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <optional>
#include <stdexcept>

#include <boost/json/serialize.hpp>

#include "engine/day.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"

namespace karma::test {

namespace {

std::string text_of(const json::value& value) { return std::string(value.as_string()); }

const json::value* find(const json::value& object, std::string_view name) {
    return object.is_object() ? object.get_object().if_contains(name) : nullptr;
}

template <typename Value>
const Value& look_up(const std::map<std::string, Value>& table, const std::string& name) {
    const auto found = table.find(name);
    if (found == table.end()) throw std::runtime_error("unknown word " + name);
    return found->second;
}

// A line of a conversation with the day that "$TODAY" stands for.
std::string with_today(std::string line, const std::string& day) {
    const std::string name = "$TODAY";
    for (std::size_t at = line.find(name); at != std::string::npos; at = line.find(name, at)) {
        line.replace(at, name.size(), day);
    }
    return line;
}

Step read_step(const json::value& line) {
    static const std::map<std::string, int> signals{{"KILL", SIGKILL}, {"INT", SIGINT}, {"TERM", SIGTERM}};
    static const std::map<std::string, Match> matches{{"exact", Match::exact},
                                                      {"code", Match::code},
                                                      {"superset", Match::superset},
                                                      {"sorted", Match::sorted},
                                                      {"skip", Match::skip}};
    Step step;
    if (const json::value* restart = find(line, "restart")) {
        step.restart_signal = look_up(signals, text_of(*restart));
        return step;
    }
    step.send = text_of(member(line, "send"));
    step.reply = member(line, "reply");
    if (const json::value* match = find(line, "match")) step.match = look_up(matches, text_of(*match));
    if (const json::value* ignore = find(line, "ignore")) {
        for (const json::value& field : ignore->as_array()) step.ignore.push_back(text_of(field));
    }
    return step;
}

// The value without the ignored fields, at every depth. Arrays in a canonical order if `sorted`.
json::value normalized(const json::value& value, const std::vector<std::string>& ignore, bool sorted) {
    if (value.is_object()) {
        json::object result;
        for (const auto& field : value.get_object()) {
            if (std::ranges::find(ignore, std::string_view(field.key())) == ignore.end()) {
                result[field.key()] = normalized(field.value(), ignore, sorted);
            }
        }
        // Boost.JSON keeps the order of insertion when it serializes, and the order of an array hangs on the
        // text.
        json::object ordered;
        std::vector<std::string> names;
        for (const auto& field : result) names.emplace_back(field.key());
        std::ranges::sort(names);
        for (const std::string& name : names) ordered[name] = result[name];
        return ordered;
    }
    if (value.is_array()) {
        json::array result;
        for (const json::value& item : value.get_array()) result.push_back(normalized(item, ignore, sorted));
        if (sorted) {
            std::ranges::sort(result, {}, [](const json::value& item) { return json::serialize(item); });
        }
        return result;
    }
    return value;
}

// Whether `got` is `want`, but for further fields of objects.
bool covers(const json::value& want, const json::value& got) {
    if (want.is_object() && got.is_object()) {
        return std::ranges::all_of(want.get_object(), [&](const auto& field) {
            const json::value* found = find(got, field.key());
            return found != nullptr && covers(field.value(), *found);
        });
    }
    if (want.is_array() && got.is_array()) {
        return std::ranges::equal(want.get_array(), got.get_array(), covers);
    }
    return want == got;
}

// Recorded replies of protocol v2 need not name it.
std::int64_t version_of(const json::value& reply) {
    const json::value* const version = find(reply, "protocol_version");
    return version == nullptr ? 2 : version->to_number<std::int64_t>();
}

std::string shown(const json::value* value) {
    return value == nullptr ? "nothing" : json::serialize(*value).substr(0, 600);
}

bool same(const json::value* want, const json::value* got) {
    return want == nullptr || got == nullptr ? want == got : *want == *got;
}

std::string field_difference(std::string_view field, const json::value& want, const json::value& got) {
    if (same(find(want, field), find(got, field))) return {};
    return std::string(field) + ": want " + shown(find(want, field)) + ", got " + shown(find(got, field)) +
           " in " + shown(&got);
}

// What every reply has, whatever was asked.
std::string envelope_difference(const json::value& wanted, const json::value& reply) {
    if (version_of(reply) != version_of(wanted)) {
        return "protocol_version is not " + std::to_string(version_of(wanted)) + " in " + shown(&reply);
    }
    const json::value* response = find(reply, "response");
    if (response == nullptr) return "no response in " + shown(&reply);
    if (find(reply, "error_code") == nullptr) return "no error_code in " + shown(&reply);
    if (member(reply, "success") == json::value(false) &&
        (!response->is_string() || response->get_string().empty())) {
        return "an error without a sentence for a person: " + shown(&reply);
    }
    return {};
}

// A daemon of protocol v1 lists days at 0 and keys without days; this one, whose state is that of v2, does
// not list the first, and of the second only those that it has.
json::value without_zeros(const json::value& value) {
    if (!value.is_object()) return value;
    constexpr std::size_t digits_of_day = 8;
    json::object result;
    for (const auto& field : value.get_object()) {
        const std::string_view name = field.key();
        const bool is_day =
            name.size() == digits_of_day && name.find_first_not_of("0123456789") == std::string_view::npos;
        const json::value inner = without_zeros(field.value());
        const bool is_empty = inner.is_object() && inner.get_object().empty();
        if (!is_empty && !(is_day && inner == json::value(0))) result[name] = inner;
    }
    return result;
}

std::string response_difference(const Step& step, const json::value& reply) {
    const bool sorted = step.match == Match::sorted;
    const auto compared = [&](const json::value& of) {
        const json::value& response = member(of, "response");
        return normalized(version_of(step.reply) == 1 ? without_zeros(response) : response, step.ignore,
                          sorted);
    };
    const json::value want = compared(step.reply);
    const json::value got = compared(reply);
    if (step.match == Match::superset ? covers(want, got) : want == got) return {};
    return "response: want " + shown(&want) + ", got " + shown(&got);
}

// The conversation as it is held: one connection, made anew after a restart or when the daemon has to close
// it.
class Session {
public:
    explicit Session(const Conversation& conversation) : daemon_(conversation.daemon_arguments) {}

    json::value ask(const std::string& line) {
        if (!client_) client_.emplace(daemon_.connect());
        json::value reply = client_->ask_line(line);
        if (member(reply, "error_code") == json::value("request_too_large")) client_.reset();
        return reply;
    }

    void restart(int signal) {
        client_.reset();
        if (signal == SIGKILL) {
            daemon_.kill_hard();
        } else if (const ExitStatus status = daemon_.stop(signal);
                   status != ExitStatus{.code = 0, .signal = 0}) {
            throw std::runtime_error("the daemon ended with " + to_string(status) + " after signal " +
                                     std::to_string(signal));
        }
        daemon_.start();
    }

private:
    Daemon daemon_;
    std::optional<Client> client_;
};

}  // namespace

std::string utc_day() {
    const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    return std::to_string(day_to_yyyymmdd(day_from_unix_ms(now)));
}

Conversation load_conversation(const std::filesystem::path& file, const std::string& day) {
    Conversation conversation;
    conversation.name = file.stem().string();
    std::ifstream in(file);
    std::size_t number = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        if (line.empty()) continue;
        try {
            const json::value parsed = parse_json(with_today(line, day));
            if (const json::value* arguments = find(parsed, "args")) {
                for (const json::value& argument : arguments->as_array()) {
                    conversation.daemon_arguments.push_back(text_of(argument));
                }
                continue;
            }
            conversation.steps.push_back(read_step(parsed));
            conversation.steps.back().line_number = number;
        } catch (const std::exception& error) {
            throw std::runtime_error(file.string() + ":" + std::to_string(number) + ": " + error.what());
        }
    }
    if (conversation.steps.empty()) throw std::runtime_error(file.string() + " holds no conversation");
    return conversation;
}

std::string difference(const Step& step, const json::value& reply) {
    if (step.match == Match::skip) return {};
    for (const char* const field : {"success", "error_code"}) {
        if (std::string found = field_difference(field, step.reply, reply); !found.empty()) return found;
    }
    if (std::string found = envelope_difference(step.reply, reply); !found.empty()) return found;
    if (step.match == Match::code || member(step.reply, "success") == json::value(false)) return {};
    if (std::string found = field_difference("idempotent", step.reply, reply); !found.empty()) return found;
    return response_difference(step, reply);
}

ReplayResult replay(const Conversation& conversation, std::size_t crash_every) {
    ReplayResult result;
    Session session(conversation);
    for (const Step& step : conversation.steps) {
        std::string place = conversation.name;
        place.append(".jsonl:").append(std::to_string(step.line_number));
        place.append(": ").append(step.send.substr(0, 200)).append("\n    ");
        try {
            if (step.restart_signal != 0) {
                session.restart(step.restart_signal);
                continue;
            }
            const std::string found = difference(step, session.ask(step.send));
            if (!found.empty()) result.differences.push_back(place + found);
            ++result.requests;
            if (crash_every > 0 && result.requests % crash_every == 0) session.restart(SIGKILL);
        } catch (const std::exception& error) {
            throw std::runtime_error(place + error.what());
        }
    }
    return result;
}

}  // namespace karma::test
