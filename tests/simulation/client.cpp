#include "tests/simulation/client.h"

#include <algorithm>

#include "net/client_request.h"
#include "tests/simulation/noise.h"
#include "tests/support/json.h"

namespace karma::test {
namespace {

constexpr std::uint64_t keys = 6;
constexpr const char* series_name = "clicks";
constexpr int bucket = 20260601;

json::object counter(std::uint64_t key) { return {{"series", series_name}, {"key", key}}; }

json::object amount(std::uint64_t key, std::uint64_t value) {
    json::object fields = counter(key);
    fields["bucket"] = bucket;
    fields["value"] = value;
    return fields;
}

bool succeeded(const json::object& reply) { return reply.at("success").as_bool(); }

bool all_succeeded(const std::vector<std::optional<json::object>>& replies) {
    return std::ranges::all_of(replies, [](const auto& reply) { return reply && succeeded(*reply); });
}

// A read that a task answers.
std::string events_line() { return net::request_line("event.list", "", {{"limit", 3}}); }

}  // namespace

void SimulatedClient::run(std::size_t requests) {
    while (done_ < requests && !view_.is_over()) {
        const std::uint64_t choice = network_.scheduler().between(0, 16);
        if (choice < 6) {
            increment_with_key();
        } else if (choice < 8) {
            increment_once();
        } else if (choice < 10) {
            read_sum();
        } else if (choice < 13) {
            pipeline_counts();
        } else if (choice < 14 && view_.loads_snapshots) {
            pipeline_loads();
        } else {
            change_something_else();
        }
        ++done_;
        network_.scheduler().sleep(std::chrono::microseconds(network_.scheduler().between(0, 30'000)));
    }
    lines_.close();
}

void SimulatedClient::watch(const std::function<bool()>& is_over) {
    while (!is_over() && !view_.is_over()) {
        read_sum();
        network_.scheduler().sleep(std::chrono::microseconds(network_.scheduler().between(0, 5'000)));
    }
    lines_.close();
}

std::uint64_t SimulatedClient::any_key() { return network_.scheduler().between(1, keys); }
std::uint64_t SimulatedClient::any_value() { return network_.scheduler().between(1, 1'000); }

SimulatedClient::Reply SimulatedClient::ask(const std::string& node, std::string_view op,
                                            json::object fields) {
    return ask_all(node, {net::request_line(op, "", std::move(fields))}).front();
}

std::vector<SimulatedClient::Reply> SimulatedClient::ask_all(const std::string& node,
                                                             const std::vector<std::string>& lines) {
    return lines_.ask_all(node, lines);
}

void SimulatedClient::increment_with_key() {
    const std::uint64_t key = any_key();
    const std::uint64_t value = any_value();
    std::string idempotency_key = name_ + "-" + std::to_string(++count_);
    ledger_.send(key, value);
    Scheduler& scheduler = network_.scheduler();
    for (bool was_acknowledged = false; !view_.is_over();) {
        json::object fields = amount(key, value);
        fields["idempotency_key"] = idempotency_key;
        const std::string node = scheduler.one_in(8) ? view_.any_node() : view_.master();
        const std::optional<json::object> reply = ask(node, "counter.increment", std::move(fields));
        if (reply && succeeded(*reply)) {
            if (!was_acknowledged) {
                ledger_.acknowledge(key, value);
            } else if (!reply->at("idempotent").as_bool()) {
                return view_.fail("a request that was acknowledged was executed again: " + idempotency_key);
            }
            // Sometimes the answer gets lost on the way to who wanted it.
            if (was_acknowledged || !scheduler.one_in(6)) {
                return;
            }
            was_acknowledged = true;
        }
        if (view_.retries_anew) {
            idempotency_key += "+";
        }
        scheduler.sleep(std::chrono::microseconds(scheduler.between(100, 100'000)));
    }
}

// Nobody knows what became of one that was not answered.
void SimulatedClient::increment_once() {
    const std::uint64_t key = any_key();
    const std::uint64_t value = any_value();
    ledger_.send(key, value);
    const auto reply = ask(view_.master(), "counter.increment", amount(key, value));
    if (reply && succeeded(*reply)) {
        ledger_.acknowledge(key, value);
    }
}

// Each read sees the writes before it, also those that are behind a read that takes long.
void SimulatedClient::pipeline_counts() {
    Scheduler& scheduler = network_.scheduler();
    struct Step {
        enum class Kind : std::uint8_t { increment, sum, events } kind;
        std::uint64_t value;
    };
    const std::uint64_t key = any_key();
    std::vector<Step> steps;
    std::vector<std::string> lines;
    for (std::uint64_t left = scheduler.between(2, 8); left > 0; --left) {
        const auto kind = static_cast<Step::Kind>(scheduler.between(0, 2));
        steps.push_back({kind, any_value()});
        if (kind == Step::Kind::increment) {
            ledger_.send(key, steps.back().value);
            lines.push_back(net::request_line("counter.increment", "", amount(key, steps.back().value)));
        } else {
            lines.push_back(kind == Step::Kind::sum ? net::request_line("counter.sum", "", counter(key))
                                                    : events_line());
        }
    }
    const std::string master = view_.master();
    const CounterLedger::Counter before = ledger_.of(key);
    const std::vector<Reply> replies = ask_all(master, lines);
    std::uint64_t least = view_.masters_stay ? std::max(before.acknowledged, before.read) : 0;
    for (std::size_t i = 0; i < steps.size() && replies[i]; ++i) {
        if (!succeeded(*replies[i])) {
            continue;
        }
        if (steps[i].kind == Step::Kind::increment) {
            ledger_.acknowledge(key, steps[i].value);
            least += steps[i].value;
        } else if (steps[i].kind == Step::Kind::sum) {
            const std::uint64_t value = as_number(replies[i]->at("response"));
            if (value < least) {
                return view_.fail("key " + std::to_string(key) + ": a read behind writes on one connection " +
                                  "shows " + std::to_string(value) + ", not " + std::to_string(least));
            }
            least = value;
        }
    }
}

// What a snapshot is loaded over is gone for whatever comes behind, and for nothing before.
void SimulatedClient::pipeline_loads() {
    const std::string series = name_ + "-own-" + std::to_string(++count_);
    const auto add = [&](std::uint64_t value) {
        return net::request_line("counter.increment", "",
                                 {{"series", series}, {"key", 1}, {"bucket", bucket}, {"value", value}});
    };
    const std::string sum = net::request_line("counter.sum", "", {{"series", series}, {"key", 1}});
    const std::string master = view_.master();
    const std::vector<Reply> made =
        ask_all(master, {add(5), net::request_line("snapshot.create", "", {{"series", series}}), add(7), sum,
                         net::request_line("snapshot.list", "", {})});
    if (!all_succeeded(made)) {
        return;
    }
    std::string file;
    for (const json::value& name : made.back()->at("response").as_array()) {
        if (file.empty() && name.as_string().find("_" + series + ".tree") != json::string::npos) {
            file = name.as_string();
        }
    }
    const std::string load = net::request_line("snapshot.load", "", {{"file", file}});
    const std::vector<Reply> loaded = ask_all(master, {add(1'000), load, sum, add(100), sum, load, sum});
    if (!all_succeeded(loaded)) {
        return;
    }
    const auto sum_at = [&](std::size_t i) { return as_number(loaded[i]->at("response")); };
    if (sum_at(4) != sum_at(2) + 100 || sum_at(6) != sum_at(2)) {
        return view_.fail(
            "requests behind snapshot.load were executed before it: " + std::to_string(sum_at(2)) + ", " +
            std::to_string(sum_at(4)) + ", " + std::to_string(sum_at(6)));
    }
    ask(master, "tree.drop", {{"series", series}});
}

void SimulatedClient::ask_on_a_quiet_server() {
    const std::uint64_t key = any_key();
    const std::uint64_t value = any_value();
    ledger_.send(key, value);
    const std::vector<Reply> replies = ask_all(
        view_.master(), {events_line(), net::request_line("counter.increment", "", amount(key, value))});
    lines_.close();
    if (!replies.back()) {
        return view_.fail("a write behind a read is not answered while nobody asks for anything else");
    }
    if (succeeded(*replies.back())) {
        ledger_.acknowledge(key, value);
    }
}

void SimulatedClient::change_something_else() {
    Noise noise = make_noise(network_.scheduler());
    ask(view_.master(), noise.op, std::move(noise.fields));
}

void SimulatedClient::read_sum() {
    const std::uint64_t key = any_key();
    const std::string master = view_.master();
    const std::string node = network_.scheduler().one_in(3) ? view_.any_node() : master;
    const CounterLedger::Counter before = ledger_.of(key);
    const auto reply = ask(node, "counter.sum", counter(key));
    if (!reply) {
        return;
    }
    std::uint64_t value = 0;
    if (succeeded(*reply)) {
        value = as_number(reply->at("response"));
    } else if (reply->at("error_code") != json::value("not_found")) {
        return;
    }
    const std::string read =
        "key " + std::to_string(key) + " read from " + node + ": " + std::to_string(value);
    if (value > ledger_.of(key).sent) {
        return view_.fail(read + ", more than was sent: " + std::to_string(ledger_.of(key).sent));
    }
    if (node == master && view_.masters_stay) {
        const std::uint64_t least = std::max(before.acknowledged, before.read);
        if (value < least) {
            return view_.fail(read + ", after " + std::to_string(least) + " was acknowledged or read");
        }
        ledger_.note_read(key, std::max(value, ledger_.of(key).read));
    }
}

}  // namespace karma::test
