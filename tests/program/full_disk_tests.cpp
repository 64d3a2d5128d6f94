// A disk without room: nothing more is acknowledged, reads go on, and what was acknowledged is there after
// it.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/small_disk.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::size_t megabyte = 1'000'000;

// Adds to counters of a series, a batch after the other, until a batch is refused, or far too many are not.
struct FillingWriter {
    explicit FillingWriter(std::string name) : series(std::move(name)) {}

    std::string series;
    std::uint64_t acknowledged = 0;  // batches
    std::string code;                // of the error
    std::string problem;

    static constexpr std::uint64_t items_per_batch = 500;
    static constexpr std::uint64_t batches_max = 4000;

    void run(std::uint16_t port) {
        try {
            Client client(port, patience(std::chrono::seconds(60)));
            while (code.empty() && acknowledged < batches_max) {
                json::array items;
                for (std::uint64_t i = 0; i < items_per_batch; ++i) {
                    items.push_back(json::array{acknowledged * items_per_batch + i, some_bucket, 1});
                }
                code = client.error_of("series.batch_add", {{"series", series}, {"items", std::move(items)}});
                if (code.empty()) ++acknowledged;
            }
        } catch (const std::exception& error) {
            problem = error.what();
        }
    }
};

std::string status_of(const Daemon& daemon) {
    Client client = daemon.connect();
    return std::string(member(client.call("system.health"), "status").as_string());
}

// What is stored of the series of a writer: all that was acknowledged, and of the batch behind it all or
// nothing.
void check_stored(const Daemon& daemon, const FillingWriter& writer) {
    Client client = daemon.connect();
    const std::uint64_t total =
        as_number(member(client.call("tree.summary", {{"series", writer.series}}), "total"));
    const std::uint64_t batches = total / FillingWriter::items_per_batch;
    CHECK(total % FillingWriter::items_per_batch == 0);
    CHECK(batches >= writer.acknowledged);
    CHECK(batches <= writer.acknowledged + 1);
}

void check_failed(const Daemon& daemon, const std::vector<FillingWriter>& writers) {
    // It says so, goes on to answer what it knows, and acknowledges nothing any more.
    CHECK(status_of(daemon).starts_with("failed:"));
    Client client = daemon.connect();
    CHECK(as_number(client.call("counter.sum", {{"series", "quiet"}, {"key", 1}})) == 7);
    CHECK(client.call("tree.top", {{"series", "quiet"}}).is_object());
    // A series that holds what may not be stored shows that to nobody.
    for (const FillingWriter& writer : writers) {
        const std::string code = client.error_of("counter.sum", {{"series", writer.series}, {"key", 1}});
        CHECK_MESSAGE((code.empty() || code == "internal_error"), code);
    }
    CHECK(client.error_of("counter.increment", {{"series", "one"}, {"key", 1}}) == "internal_error");
    CHECK(client.error_of("tree.create", {{"series", "new"}}) == "internal_error");
}

void run_out_of_space(SmallDisk& disk, bool sync) {
    Daemon daemon(DaemonOptions{.arguments = {"--max-request-bytes=65536", "--query-timeout-ms=0",
                                              sync ? "--wal-fsync=true" : "--wal-fsync=false",
                                              "--wal-segment-bytes=1048576", "--snapshot-interval-seconds=0"},
                                .environment = {},
                                .directory = disk.path() / "data",
                                .open_files = {}});
    daemon.connect().call("counter.increment", {{"series", "quiet"}, {"key", 1}, {"value", 7}});
    std::vector<FillingWriter> writers;
    for (const char* const name : {"one", "two", "three"}) writers.emplace_back(name);
    std::vector<std::thread> threads;
    for (FillingWriter& writer : writers) threads.emplace_back([&] { writer.run(daemon.port()); });
    for (std::thread& thread : threads) thread.join();
    std::uint64_t all = 0;
    for (const FillingWriter& writer : writers) {
        CHECK(writer.problem == "");
        CHECK(writer.code == "internal_error");
        all += writer.acknowledged;
    }
    MESSAGE(all << " batches were acknowledged before the disk was full");
    CHECK(all > 0);
    check_failed(daemon, writers);
    // Also when there is room again: nobody knows what the disk holds.
    disk.grow(200 * megabyte);
    CHECK(daemon.connect().error_of("counter.increment", {{"series", "one"}, {"key", 1}}) ==
          "internal_error");
    CHECK(daemon.stop().code == 1);
    CHECK(contains(daemon.standard_error(), "\"event_log_failed\""));

    daemon.start();
    CHECK(status_of(daemon) == "ok");
    for (const FillingWriter& writer : writers) check_stored(daemon, writer);
    Client again = daemon.connect();
    again.call("snapshot.verify");
    CHECK(again.call("counter.increment", {{"series", "one"}, {"key", 1}}) == json::value(1));
    daemon.restart_after_kill();
    CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "one"}, {"key", 1}})) == 2);
}

}  // namespace

TEST_CASE("full disk: errors instead of acknowledgements, and everything acknowledged is there afterwards") {
    bool sync = false;
    SUBCASE("with --wal-fsync=true") { sync = true; }
    SUBCASE("with --wal-fsync=false") {}
    std::exception_ptr failure;
    // The list of mounts is of this thread alone.
    std::thread body([&] {
        try {
            std::string why;
            const std::unique_ptr<SmallDisk> disk = SmallDisk::make(8 * megabyte, why);
            if (disk) {
                run_out_of_space(*disk, sync);
            } else {
                MESSAGE("skip: this needs a file system of its own, and there can be none here: " << why);
            }
        } catch (...) {
            failure = std::current_exception();
        }
    });
    body.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace karma::test
