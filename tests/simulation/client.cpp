#include "tests/simulation/client.h"

#include "net/client_connection.h"
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

}  // namespace

void SimulatedClient::run(std::size_t requests) {
    while (done_ < requests && !view_.is_over()) {
        const std::uint64_t choice = network_.scheduler().between(0, 12);
        if (choice < 6) {
            increment_with_key();
        } else if (choice < 8) {
            increment_once();
        } else if (choice < 10) {
            read_sum();
        } else {
            change_something_else();
        }
        ++done_;
        network_.scheduler().sleep(std::chrono::microseconds(network_.scheduler().between(0, 30'000)));
    }
    line_.reset();
}

void SimulatedClient::watch(const std::function<bool()>& is_over) {
    while (!is_over() && !view_.is_over()) {
        read_sum();
        network_.scheduler().sleep(std::chrono::microseconds(network_.scheduler().between(0, 5'000)));
    }
    line_.reset();
}

std::uint64_t SimulatedClient::any_key() { return network_.scheduler().between(1, keys); }
std::uint64_t SimulatedClient::any_value() { return network_.scheduler().between(1, 1'000); }

std::optional<json::object> SimulatedClient::ask(const std::string& node, std::string_view op,
                                                 json::object fields) {
    try {
        if (!line_ || line_->has_failed() || connected_to_ != node) {
            line_.reset();
            line_ = network_.of(name_).connect({node, 0, std::chrono::milliseconds(600)});
            connected_to_ = node;
        }
        return net::parse_reply(line_->ask(net::request_line(op, "", std::move(fields))));
    } catch (const net::ConnectionError&) {
        line_.reset();
        return std::nullopt;
    }
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
