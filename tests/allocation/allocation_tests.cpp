// What the way of a common request allocates once the daemon is warm: nothing. Counted are the server's
// threads that serve connections, from the read to the reply; what the storage does with a group of events is
// its own.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "net/log.h"
#include "net/server.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/allocation/counted_memory.h"
#include "tests/allocation/forwarding_executor.h"
#include "tests/allocation/uncounted_storage.h"
#include "tests/support/client.h"

namespace karma::test {

namespace {

// A database whose callers count their allocations.
class CountingExecutor final : public ForwardingExecutor {
public:
    using ForwardingExecutor::ForwardingExecutor;

    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        count_allocations_here(true);
        ForwardingExecutor::execute(requests, outcomes);
    }
};

class CountingServer {
public:
    explicit CountingServer(bool wal) : storage_(memory_) {
        DatabaseOptions options;
        options.wal = wal;
        database_ = Database::open(options, storage_);
        executor_ = std::make_unique<CountingExecutor>(*database_);
        net::ServerOptions server;
        server.address = "127.0.0.1";
        server.port = 0;
        server.read_timeout = std::chrono::minutes(5);
        server_ = std::make_unique<net::Server>(server, *executor_, log_);
        server_->start();
    }
    ~CountingServer() {
        server_->stop();
        server_->join();
    }
    CountingServer(const CountingServer&) = delete;
    CountingServer& operator=(const CountingServer&) = delete;

    std::uint16_t port() const { return server_->port(); }

private:
    MemoryStorage memory_;
    UncountedStorage storage_;
    net::Log log_{net::LogLevel::warning};
    std::unique_ptr<Database> database_;
    std::unique_ptr<CountingExecutor> executor_;
    std::unique_ptr<net::Server> server_;
};

// Sends so many lines at once, and takes their replies; again and again.
std::uint64_t allocations_of(Client& client, const std::string& line, int rounds, int lines) {
    std::string bytes;
    for (int i = 0; i < lines; ++i) bytes += line + '\n';
    const std::uint64_t before = counted_allocations();
    for (int round = 0; round < rounds; ++round) {
        client.send(bytes);
        for (int i = 0; i < lines; ++i) {
            const std::string reply = client.receive_line();
            REQUIRE(reply.find("\"success\":true") != std::string::npos);
        }
    }
    return counted_allocations() - before;
}

// Whether there come to be many rounds that allocate nothing. What is rare may allocate once more, such as
// the first commit that another thread takes over on a busy machine; what each request needs never ends.
bool settles_at_nothing(Client& client, const std::string& line, int lines) {
    for (int attempt = 0; attempt < 20; ++attempt) {
        if (allocations_of(client, line, 100, lines) == 0) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("allocation: common requests allocate nothing once the daemon is warm") {
    for (const bool wal : {false, true}) {
        CAPTURE(wal);
        const CountingServer server(wal);
        Client client(server.port());
        client.call("counter.increment",
                    {{"series", "links"}, {"key", 42}, {"bucket", 20260505}, {"value", 1000}});
        for (const std::string& line :
             {request("counter.increment", {{"series", "links"}, {"key", 42}, {"bucket", 20260505}}),
              request("counter.decrement", {{"series", "links"}, {"key", 42}, {"bucket", 20260505}}),
              request("counter.sum", {{"series", "links"}, {"key", 42}})}) {
            CAPTURE(line);
            for (const int lines : {1, 16}) {
                CAPTURE(lines);
                CHECK(settles_at_nothing(client, line, lines));
            }
        }
    }
}

TEST_CASE("allocation: what does allocate is counted") {
    const CountingServer server(false);
    Client client(server.port());
    client.call("counter.increment", {{"series", "links"}, {"key", 42}});
    const std::string line = request("counter.batch_sum", {{"series", "links"}, {"keys", {42}}});
    CHECK(allocations_of(client, line, 10, 1) >= 10);
}

}  // namespace karma::test
