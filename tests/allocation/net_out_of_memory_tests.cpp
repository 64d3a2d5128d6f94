// Memory that ends in the server, beside the database: while a connection is made, its buffers grow, requests
// are decoded, tasks run, replies are written. Who was hit is answered or its connection closed, and the
// daemon goes on.
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "net/log.h"
#include "net/server.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/allocation/counted_memory.h"
#include "tests/allocation/forwarding_executor.h"
#include "tests/support/client.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// Runs another one with memory that ends after so many allocations.
class StarvedTask final : public Task {
public:
    StarvedTask(std::unique_ptr<Task> under, std::uint64_t allocations)
        : under_(std::move(under)), allocations_(allocations) {}

    TaskKind kind() const override { return under_->kind(); }
    std::size_t cost_bytes() const override { return std::size_t{1} << 30U; }  // by a worker thread
    Reply run(const Deadline& deadline) override {
        fail_allocations_here(allocations_, false);  // until the next one: its reply is made in that too
        return under_->run(deadline);
    }

private:
    std::unique_ptr<Task> under_;
    std::uint64_t allocations_;
};

/// A database that has memory, before threads of the server that have none: once it is told so, one
/// allocation of the thread that executes next fails, and one of each task.
class StarvingExecutor final : public ForwardingExecutor {
public:
    using ForwardingExecutor::ForwardingExecutor;

    void starve_after(std::uint64_t allocations) { wanted_ = static_cast<std::int64_t>(allocations); }
    void feed() { is_fed_ = true; }
    /// Whether an allocation has failed; nothing as long as nobody has executed since `feed`.
    std::optional<bool> has_failed_one() const {
        const int state = outcome_;
        return state < 0 ? std::nullopt : std::optional(state != 0);
    }

    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        {
            const Uncounted with_memory;
            ForwardingExecutor::execute(requests, outcomes);
            for (Outcome& outcome : outcomes) {
                auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result);
                if (task != nullptr && starves_) {
                    *task = std::make_unique<StarvedTask>(std::move(*task), allocations_);
                }
            }
        }
        if (is_fed_.exchange(false)) {
            starves_ = false;
            outcome_ = end_failing() ? 1 : 0;
        } else if (const std::int64_t wanted = wanted_.exchange(-1); wanted >= 0) {
            starves_ = true;
            outcome_ = -1;
            allocations_ = static_cast<std::uint64_t>(wanted);
            fail_allocations_here(allocations_, false);
        }
    }
    bool commit() override {
        const Uncounted with_memory;
        return ForwardingExecutor::commit();
    }

private:
    std::atomic<std::int64_t> wanted_{-1};
    std::atomic<bool> is_fed_{false};
    std::atomic<int> outcome_{-1};
    bool starves_ = false;           // of the thread that serves
    std::uint64_t allocations_ = 0;  // the same
};

constexpr int increments_of_all = 3;

std::vector<std::string> all_requests() {
    json::array keys;
    for (int key = 0; key < 500; ++key) keys.push_back(key);
    return {
        request("counter.increment", {{"series", "a"}, {"key", 1}}),
        request("counter.batch_sum", {{"series", "a"}, {"keys", keys}}),
        request("tree.list"),
        "not JSON",
        R"({"v":2,"op":"no.such.op"})",
        request("tree.top", {{"series", "a"}}),
        request("counter.increment", {{"series", "a"}, {"key", 1}}),
        request("tree.keys", {{"series", "a"}}),
        request("event.list", {{"after_lsn", 0}}),
        request("system.stats"),
        request("system.metrics"),
        request("series.batch_add", {{"series", "b"}, {"items", json::array{json::array{1, 20260505, 2}}}}),
        request("counter.sum", {{"series", std::string(20'000, 'x')}, {"key", 1}}),
        request("counter.increment", {{"series", "a"}, {"key", 1}}),
    };
}

/// Sends them; the replies that came before the connection was closed, which only this one may be.
std::size_t replies_to(std::uint16_t port, const std::vector<std::string>& requests) {
    std::string lines;
    for (const std::string& line : requests) lines += line + "\n";
    std::size_t replies = 0;
    try {
        Client client(port);
        client.send(lines);
        while (replies < requests.size()) {
            const json::value reply = client.receive();
            CHECK(reply.at("protocol_version").as_int64() == 2);
            ++replies;
        }
    } catch (const ConnectionClosed&) {  // NOLINT(bugprone-empty-catch): it has found no memory
    }
    return replies;
}

}  // namespace

TEST_CASE("out of memory: the server goes on, whatever it was that found none") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.wal = false;
    const auto database = Database::open(options, storage);
    StarvingExecutor executor(*database);
    net::ServerOptions server_options;
    server_options.address = "127.0.0.1";
    server_options.port = 0;
    server_options.threads = 1;
    net::Log log{net::LogLevel::error};
    net::Server server(server_options, executor, log);
    server.start();
    Client witness(server.port());  // served before, meanwhile and after
    witness.call("system.ping");
    const std::vector<std::string> requests = all_requests();
    std::uint64_t sent = 0;
    std::uint64_t closed = 0;
    bool has_failed = true;
    for (std::uint64_t n = 0; has_failed; n += 1 + n / 50) {
        CAPTURE(n);
        executor.starve_after(n);
        replies_to(server.port(), {request("system.ping")});
        closed += replies_to(server.port(), requests) < requests.size() ? 1 : 0;
        sent += increments_of_all;
        // The one allocation may still be to come: it closes one connection more.
        executor.feed();
        int attempts = 0;
        while (!executor.has_failed_one()) {
            replies_to(server.port(), {request("system.ping")});
            REQUIRE(++attempts <= 3);
        }
        has_failed = *executor.has_failed_one();
        REQUIRE(replies_to(server.port(), requests) == requests.size());
        sent += increments_of_all;
        witness.call("system.ping");
    }
    CHECK(closed > 0);
    CHECK(!database->has_failed());
    const std::uint64_t counted = database->sum("a", 1);
    CHECK(counted <= sent);
    CHECK(counted >= sent / 2);
    server.stop();
    server.join();
}

}  // namespace karma::test
