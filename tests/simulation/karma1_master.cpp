#include "tests/simulation/karma1_master.h"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "tests/support/json.h"

namespace karma::test {
namespace {

std::string reply_with(bool success, json::value response, json::value error_code) {
    const json::object reply{{"protocol_version", 2},
                             {"success", success},
                             {"response", std::move(response)},
                             {"error_code", std::move(error_code)}};
    return json::serialize(reply) + "\r\n";
}

}  // namespace

SimulatedKarma1::SimulatedKarma1(std::string name, SimulatedNetwork& network)
    : name_(std::move(name)), network_(network) {
    network_.listen(name_, [this](std::unique_ptr<replica::PeerStream> stream, const std::string& /*from*/) {
        const std::shared_ptr<replica::PeerStream> shared = std::move(stream);
        handlers_.push_back(network_.scheduler().start_thread([this, shared] {
            try {
                serve(*shared);
            } catch (const replica::ChannelError&) {  // NOLINT(bugprone-empty-catch): who asked has gone
            }
        }));
    });
}

SimulatedKarma1::~SimulatedKarma1() {
    network_.close(name_);
    is_ending_ = true;
    handlers_.clear();
}

void SimulatedKarma1::write(std::uint64_t events) {
    for (; events > 0; --events) {
        keys_.push_back(++last_key_);
    }
}

void SimulatedKarma1::lose_tail(std::uint64_t events) {
    keys_.resize(keys_.size() - std::min<std::size_t>(keys_.size(), events));
}

void SimulatedKarma1::serve(replica::PeerStream& stream) {
    std::string received;
    std::string to_send;
    while (!is_ending_) {
        stream.wait(true, !to_send.empty(), std::chrono::milliseconds(20));
        std::array<char, 4096> bytes{};
        received.append(bytes.data(), stream.receive(bytes.data(), bytes.size()));
        for (std::size_t end = 0; (end = received.find('\n')) != std::string::npos;) {
            to_send += answer(std::string_view(received).substr(0, end));
            received.erase(0, end + 1);
        }
        if (!to_send.empty()) {
            to_send.erase(0, stream.send(to_send));
        }
    }
}

std::string SimulatedKarma1::answer(std::string_view line) const {
    const json::value request = parse_json(std::string(line));
    const std::string op(member(request, "op").as_string());
    if (op == "snapshot.info") {
        return reply_with(true,
                          json::object{{"dump_count", 0},
                                       {"latest_by_tree", json::array()},
                                       {"wal_enabled", true},
                                       {"wal_current_lsn", keys_.size()},
                                       {"idempotency_snapshot", nullptr}},
                          nullptr);
    }
    if (op == "recovery.status") {
        return reply_with(true, json::object{{"checkpoint_count", 0}, {"checkpoints", json::array()}},
                          nullptr);
    }
    if (op == "replication.entries") {
        return entries(as_number(member(request, "after_lsn")), as_number(member(request, "limit")));
    }
    return reply_with(false, json::value("Unknown op " + op), "unknown_command");
}

std::string SimulatedKarma1::entries(std::uint64_t after, std::uint64_t limit) const {
    json::array entries;
    for (std::uint64_t lsn = after + 1; lsn <= keys_.size() && entries.size() < limit; ++lsn) {
        entries.push_back({{"lsn", lsn},
                           {"entry",
                            {{"v", 2},
                             {"op", "counter.increment"},
                             {"series", series},
                             {"key", keys_[lsn - 1]},
                             {"bucket", 20260505},
                             {"value", 1}}}});
    }
    const std::size_t count = entries.size();
    return reply_with(true,
                      json::object{{"count", count},
                                   {"source_lsn", keys_.size()},
                                   {"truncated_by_bytes", false},
                                   {"entries", std::move(entries)}},
                      nullptr);
}

}  // namespace karma::test
