// Nodes in one process, whose storage and clock the test owns.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "net/client_connection.h"
#include "replica/channel.h"
#include "replica/handshake.h"
#include "tests/persist/faulty_storage.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/fake_server.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

bool have_the_same(InProcessNode& one, InProcessNode& other) {
    return comes_true([&] { return one.database().durable_lsn() == other.database().durable_lsn(); }) &&
           one.database().digest() == other.database().digest();
}

// A follower that does what the test says, once it is accepted.
std::unique_ptr<replica::Channel> subscribe(std::uint16_t port, const std::string& name) {
    net::ClientConnection connection("127.0.0.1", port, patience());
    net::Subscription self;
    self.format = replica::stream_format;
    self.name = name;
    self.heartbeat_ms = 20;
    connection.queue_line(replica::subscribe_line(self, ""));
    if (const replica::SubscribeReply reply = replica::read_reply(connection.read_line()); !reply.accepted) {
        throw replica::ChannelError("refused: " + reply.message);
    }
    std::string received;
    net::ByteStream stream = connection.release(received);
    return std::make_unique<replica::Channel>(std::move(stream), std::move(received));
}

// The kinds of the frames up to the first of this kind; nothing when none comes.
std::optional<std::set<replica::FrameKind>> receive(replica::Channel& channel, replica::FrameKind kind) {
    std::set<replica::FrameKind> kinds;
    const bool has_come = comes_true([&] {
        channel.pump(std::chrono::milliseconds(10));
        while (!kinds.contains(kind)) {
            const std::optional<replica::Frame> frame = channel.next_frame();
            if (!frame) return false;
            kinds.insert(frame->kind);
        }
        return true;
    });
    return has_come ? std::optional(kinds) : std::nullopt;
}

// Comes when tests lose their patience.
class Patience final : public Deadline {
protected:
    bool expired() const override { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + patience();
};

std::optional<ErrorCode> code_of_comparison(InProcessNode& node) {
    try {
        node.node().compare_digests(Patience());
        return std::nullopt;
    } catch (const RequestError& refused) {
        return refused.code();
    }
}

}  // namespace

TEST_CASE("nodes: another state behind the same history is found by its digest, loudly, and named") {
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const TempDir directory;
    // The clock stands still: the last event is the same on both, what is before it is not.
    for (auto* const storage : {&master_storage, &slave_storage}) {
        InProcessNode node(*storage);
        node.database().increment("same", 1, 1, some_day);
        node.database().increment("other", storage == &master_storage ? 1 : 2, 1, some_day);
        node.database().increment("same", 2, 1, some_day);
    }
    make_one_database(master_storage, slave_storage);
    InProcessNode master(master_storage);
    InProcessNode slave(slave_storage, slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return slave.node().statistics().state == "streaming"; }));
    CHECK(slave.node().statistics().bootstraps.attempts == 0);
    Client client(slave.port());
    CHECK(member(client.call("system.health"), "status") == json::value("ok"));
    const json::value compared = client.ask("replication.verify");
    CHECK(member(compared, "error_code") == json::value("replication_error"));
    const std::string expected = "differs from its master at LSN 3: series \"other\"";
    CHECK(std::string(member(compared, "response").as_string()).ends_with(expected));
    CHECK(member(client.call("system.health"), "status") == json::value(expected));
    CHECK(member(client.call("system.stats"), "replication_digests_different") == json::value(1));
    const std::string metrics(client.call("system.metrics").as_string());
    CHECK(metrics.find("karma_replication_alarm 1\n") != std::string::npos);
    Client of_master(master.port());
    CHECK(comes_true([&] {
        const json::value status = member(of_master.call("system.health"), "status");
        return std::string(status.as_string()).find("differs at LSN 3: series \"other\"") !=
               std::string::npos;
    }));
}

TEST_CASE("nodes: a follower that has lost idempotency records is told as different") {
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const TempDir directory;
    for (auto* const storage : {&master_storage, &slave_storage}) {
        InProcessNode node(*storage);
        Client client(node.port());
        for (const char* const key : {"one", "two"}) {
            client.call("counter.increment",
                        {{"series", "a"}, {"key", 1}, {"bucket", 20260505}, {"idempotency_key", key}});
        }
    }
    make_one_database(master_storage, slave_storage);
    const auto compare = [&] {
        InProcessNode master(master_storage);
        InProcessNode slave(slave_storage, slave_options(), following(master.port(), directory));
        REQUIRE(comes_true([&] { return slave.node().statistics().state == "streaming"; }));
        REQUIRE(comes_true([&] { return master.database().has_records(); }));
        Client client(slave.port());
        const json::value compared = client.ask("replication.verify");
        std::string status(member(client.call("system.health"), "status").as_string());
        const std::string expected =
            "differs from its master at LSN 2: idempotency records (1 here, 2 there)";
        if (status == expected) {
            CHECK(std::string(member(compared, "response").as_string()).ends_with(expected));
            CHECK(member(client.call("system.stats"), "replication_digests_different") == json::value(1));
            CHECK(comes_true([&] {
                return health_of(master).find("differs at LSN 2: idempotency records") != std::string::npos;
            }));
        }
        return status;
    };
    CHECK(compare() == "ok");
    std::string row;
    slave_storage.scan(Table::idempotency, "", [&](std::string_view key, std::string_view) {
        row = key;
        return false;
    });
    slave_storage.erase_prefix(Table::idempotency, row);
    CHECK(compare() == "differs from its master at LSN 2: idempotency records (1 here, 2 there)");
}

TEST_CASE("nodes: another event behind the same LSN is refused, and where they part is found") {
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const TempDir directory;
    for (auto* const storage : {&master_storage, &slave_storage}) {
        InProcessNode node(*storage);
        for (std::uint64_t i = 1; i <= 40; ++i) node.database().increment("a", i, 1, some_day);
        const std::uint64_t value = storage == &master_storage ? 5 : 6;
        for (std::uint64_t i = 1; i <= 30; ++i) node.database().increment("a", i, value, some_day);
    }
    make_one_database(master_storage, slave_storage);
    InProcessNode master(master_storage);
    {
        InProcessNode slave(slave_storage, slave_options(), following(master.port(), directory));
        Client client(slave.port());
        REQUIRE(comes_true([&] { return slave.node().statistics().state == "diverged"; }));
        const std::string health(member(client.call("system.health"), "status").as_string());
        CHECK(health.find("part after LSN 40") != std::string::npos);
        CHECK(health.find("--replication-discard-diverged") != std::string::npos);
        CHECK(slave.database().durable_lsn() == 70);
    }
    replica::NodeOptions options = following(master.port(), directory);
    options.follower->discard_order = "once";
    InProcessNode slave(slave_storage, slave_options(), std::move(options));
    REQUIRE(comes_true([&] { return slave.node().statistics().state == "streaming"; }));
    CHECK(have_the_same(master, slave));
    std::string kept;
    for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
        CHECK(file.path().filename().string().starts_with("discarded-after-40-"));
        kept += read_file(file.path());
    }
    CHECK(std::ranges::count(kept, '\n') == 30);
    CHECK(kept.starts_with(R"({"lsn":41,"time":)"));
    CHECK(kept.find(R"("key":30,"bucket")") != std::string::npos);
    CHECK(kept.ends_with("\"value\":6}}\n"));
}

TEST_CASE("nodes: a follower that needs events which are gone takes the state, and nobody has to help") {
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const TempDir directory;
    DatabaseOptions forgetful;
    forgetful.event_retention_bytes = 1;
    InProcessNode master(master_storage, forgetful);
    for (std::uint64_t i = 1; i <= 10; ++i) master.database().increment("a", i, 1, some_day);
    {
        InProcessNode slave(slave_storage, slave_options(), following(master.port(), directory));
        REQUIRE(comes_true([&] { return slave.database().durable_lsn() == 10; }));
    }
    // What the slave needed is kept until the master has noticed that it is gone.
    REQUIRE(comes_true([&] { return master.node().statistics().followers.empty(); }));
    for (std::uint64_t i = 1; i <= 100; ++i) master.database().increment("a", i, 1, some_day);
    master.database().save_snapshot();
    master.database().apply_retention();
    REQUIRE(master.database().first_kept_lsn() > 11);
    InProcessNode slave(slave_storage, slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return slave.node().statistics().state == "streaming"; }));
    CHECK(have_the_same(master, slave));
    CHECK(slave.node().statistics().bootstraps.successes == 1);
}

TEST_CASE("nodes: what a follower still needs is kept, whatever retention says") {
    MemoryStorage storage;
    DatabaseOptions forgetful;
    forgetful.event_retention_bytes = 1;
    InProcessNode master(storage, forgetful);
    for (std::uint64_t i = 1; i <= 10; ++i) master.database().increment("a", i, 1, some_day);
    std::unique_ptr<LogPin> pin = master.database().pin_log(0);
    const std::unique_ptr<StateReader> state = master.database().read_state(*pin);
    CHECK(state->lsn() == 10);
    for (std::uint64_t i = 1; i <= 100; ++i) master.database().increment("a", i, 1, some_day);
    master.database().save_snapshot();
    master.database().apply_retention();
    CHECK(master.database().first_kept_lsn() == 11);
    pin->advance(60);
    master.database().apply_retention();
    CHECK(master.database().first_kept_lsn() == 61);
    pin.reset();
    master.database().apply_retention();
    CHECK(master.database().first_kept_lsn() == 110);
}

TEST_CASE("nodes: of two slaves that were promoted at once, one gives way when they meet") {
    MemoryStorage storages[3];
    const TempDir directory;
    InProcessNode master(storages[0]);
    InProcessNode one(storages[1], slave_options(), following(master.port(), directory));
    replica::NodeOptions discards = following(one.port(), directory);
    discards.follower->discard_order = "once";
    InProcessNode two(storages[2], slave_options(), std::move(discards));
    master.database().increment("a", 1, 1, some_day);
    // A promotion is refused while a state is put in place.
    REQUIRE(comes_true(
        [&] { return two.database().durable_lsn() == 1 && two.node().statistics().state == "streaming"; }));
    const Epoch of_one = one.node().promote(true).epoch;
    const Epoch of_two = promote_at_last(two).epoch;
    // The second follows the first, and may have heard of its promotion before its own.
    CHECK(of_two.number - of_one.number <= 1);
    const auto masters = [&] {
        return (one.database().role() == Role::master ? 1 : 0) +
               (two.database().role() == Role::master ? 1 : 0);
    };
    CHECK(comes_true([&] { return masters() == 1; }));
    CHECK(comes_true([&] { return master.database().role() == Role::fenced; }));
}

TEST_CASE("nodes: who connects again takes its own place, also where there is no other") {
    MemoryStorage storage;
    replica::NodeOptions options;
    options.source.followers_max = 1;
    InProcessNode master(storage, {}, options);
    const auto first = subscribe(master.port(), "one");
    CHECK_NOTHROW(subscribe(master.port(), "one"));
    const auto again = subscribe(master.port(), "one");
    CHECK_THROWS_AS(subscribe(master.port(), "two"), replica::ChannelError);
}

TEST_CASE("nodes: a follower that is lost ends a comparison, however long that may take") {
    MemoryStorage storage;
    InProcessNode master(storage);
    auto follower = subscribe(master.port(), "one");
    follower->queue_numbers(replica::FrameKind::acknowledged, {0});
    std::thread leaves([&] {
        receive(*follower, replica::FrameKind::digest);
        follower.reset();
    });
    REQUIRE(comes_true([&] {
        const auto followers = master.node().statistics().followers;
        return !followers.empty() && followers[0].state == "streaming";
    }));
    CHECK(code_of_comparison(master) == ErrorCode::replication_error);
    leaves.join();
}

TEST_CASE("nodes: one comparison begins when the one before has its result") {
    MemoryStorage storage;
    InProcessNode master(storage);
    master.database().increment("a", 1, 1, some_day);
    const auto follower = subscribe(master.port(), "one");
    CHECK(receive(*follower, replica::FrameKind::state_end));
    follower->queue_numbers(replica::FrameKind::acknowledged, {1});
    follower->queue(replica::FrameKind::digest_wanted, {});
    CHECK(receive(*follower, replica::FrameKind::digest));
    follower->queue(replica::FrameKind::digest_wanted, {});
    // After two heartbeats the master has seen the wish.
    for (int i = 0; i < 2; ++i) {
        const auto next = receive(*follower, replica::FrameKind::heartbeat);
        CHECK_FALSE(next->contains(replica::FrameKind::digest_at));
    }
    follower->queue_numbers(replica::FrameKind::digest_result, {1});
    CHECK(receive(*follower, replica::FrameKind::digest_at));
}

TEST_CASE("nodes: who says that it is alive and never has the events is dropped, and pins nothing") {
    MemoryStorage storage;
    replica::NodeOptions options;
    options.source.timeout = std::chrono::milliseconds(500);
    InProcessNode master(storage, {}, options);
    bool has_state = false;
    bool acknowledges = false;
    SUBCASE("after an acknowledgement") { acknowledges = true; }
    SUBCASE("from the beginning") {}
    SUBCASE("after a state that it has") { acknowledges = has_state = true; }
    if (has_state) master.database().increment("a", 1, 1, some_day);
    const auto follower = subscribe(master.port(), "one");
    if (has_state) REQUIRE(receive(*follower, replica::FrameKind::state_end));
    if (acknowledges) follower->queue_numbers(replica::FrameKind::acknowledged, {has_state ? 1U : 0U});
    if (acknowledges) {
        REQUIRE(comes_true([&] {
            follower->pump(std::chrono::milliseconds(1));
            const auto followers = master.node().statistics().followers;
            return !followers.empty() && followers[0].state == "streaming";
        }));
    }
    master.database().increment("a", 1, 1, some_day);
    const auto says_that_it_is_alive = [&] {
        follower->queue(replica::FrameKind::alive, {});
        follower->pump(std::chrono::milliseconds(10));
        while (follower->next_frame()) {}
    };
    CHECK(comes_true([&] {
        try {
            says_that_it_is_alive();
        } catch (const replica::ChannelError&) {  // NOLINT(bugprone-empty-catch): dropped
        }
        return master.node().statistics().followers.empty();
    }));
}

TEST_CASE("nodes: who takes long to put a state in its place is waited for, as long as it says so") {
    MemoryStorage storage;
    replica::NodeOptions options;
    constexpr auto timeout = std::chrono::milliseconds(500);
    options.source.timeout = timeout;
    InProcessNode master(storage, {}, options);
    master.database().increment("a", 1, 1, some_day);
    const auto follower = subscribe(master.port(), "one");
    REQUIRE(receive(*follower, replica::FrameKind::state_end));
    auto longest = std::chrono::steady_clock::duration::zero();
    const auto end = std::chrono::steady_clock::now() + 4 * timeout;
    for (auto last = std::chrono::steady_clock::now(); last < end;) {
        follower->queue(replica::FrameKind::alive, {});
        follower->pump(std::chrono::milliseconds(20), false);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        longest = std::max(longest, std::chrono::steady_clock::now() - last);
        last = std::chrono::steady_clock::now();
    }
    // On a machine that stood still for that long the master was right.
    if (longest < timeout / 2) CHECK(master.node().statistics().followers.size() == 1);
}

TEST_CASE("nodes: who subscribes while a state is put in place gets what is there afterwards, whole") {
    struct ClearWatched final : ForwardingStorage {
        using ForwardingStorage::ForwardingStorage;
        void clear(std::span<const RecordChange> records) override {
            ForwardingStorage::clear(records);
            if (cleared) cleared();
        }
        std::function<void()> cleared;
    };
    MemoryStorage storages[2];
    InProcessNode other(storages[1]);
    for (std::uint64_t key = 1; key <= 5; ++key) other.database().increment("new", key, 1, some_day);
    ClearWatched watched(storages[0]);
    {
        InProcessNode before(storages[0]);
        before.database().increment("old", 1, 1, some_day);
    }
    InProcessNode node(watched, slave_options());
    HandMadeFollower earlier(node.port());
    REQUIRE(earlier.reply.lsn == 1);
    std::atomic<bool> is_over{false};
    std::atomic<bool> has_told{false};
    std::atomic<int> tries{0};
    std::vector<Lsn> told;
    std::thread subscribing;
    watched.cleared = [&] {
        subscribing = std::thread([&] {
            while (!has_told && !is_over) {
                told.clear();
                ++tries;
                try {
                    HandMadeFollower one(node.port(), [](net::Subscription& self) {
                        self.name = "meanwhile";
                        self.node_id = 78;
                    });
                    if (!one.reply.accepted) continue;
                    told.push_back(one.reply.lsn);
                    one.hear([](const replica::Life&) { return true; });
                    told.push_back(one.heard_lsn);
                    has_told = true;
                } catch (const std::exception&) {
                    continue;  // the history that it asked for is gone: it asks again
                }
            }
        });
        // Who does not wait for the state has an answer by then.
        comes_true([&] { return tries != 0; });
        std::this_thread::sleep_for(Milliseconds(100));
    };
    const auto writer = node.database().write_state(node.database().idempotency_retention());
    const auto pin = other.database().pin_log(0);
    other.database().read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
    Replacement replacement;
    replacement.order = "once";
    writer->install(replacement);
    CHECK(comes_true([&] { return has_told.load(); }));
    is_over = true;
    subscribing.join();
    CHECK(told == std::vector<Lsn>{5, 5});
    CHECK(node.database().digest() == other.database().digest());
    // The stream of the history before has ended.
    CHECK_THROWS_AS(comes_true([&] {
                        earlier.channel->pump(Milliseconds(5));
                        while (earlier.channel->next_frame()) continue;
                        return false;
                    }),
                    replica::ChannelError);
}

TEST_CASE("nodes: garbage while the state is sent ends the connection, and does not pile up") {
    MemoryStorage storage;
    replica::NodeOptions options;
    options.source.timeout = std::chrono::hours(1);
    InProcessNode master(storage, {}, options);
    std::vector<mutation::Item> items;
    for (std::uint64_t i = 0; i < 1'000'000; ++i) {
        items.push_back({i, some_day, i});
        if (items.size() == 10'000) {
            master.database().call(Mutation(mutation::BatchAdd{"large", items}));
            items.clear();
        }
    }
    // It reads nothing, so that the state is on its way for ever.
    const auto follower = subscribe(master.port(), "one");
    REQUIRE(comes_true([&] { return master.node().statistics().followers.size() == 1; }));
    follower->queue_raw("\x13\xff\xff\xff\xff");
    follower->queue_raw("\x01\x02\x03\x04");
    follower->pump(std::chrono::milliseconds(0), false);
    CHECK(comes_true([&] { return master.node().statistics().followers.empty(); }));
}

TEST_CASE("nodes: who is told to end does not wait for a master that says nothing, and gives up nothing") {
    replica::SubscribeReply refuses;
    refuses.error_code = "replication_gap";
    refuses.lsn = 10;
    FakeServer master([&](std::size_t index, const std::string&) {
        return index == 0 ? FakeAnswer{replica::reply_line(refuses)} : FakeAnswer{};
    });
    MemoryStorage storage;
    const TempDir directory;
    {
        InProcessNode node(storage);
        for (std::uint64_t i = 1; i <= 20; ++i) node.database().increment("a", i, 1, some_day);
    }
    replica::NodeOptions options = following(master.port(), directory);
    options.follower->discard_order = "once";
    {
        InProcessNode slave(storage, slave_options(), std::move(options));
        REQUIRE(master.wait_for_requests(2));  // where do the histories part?
    }
    CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("nodes: who is told to end does not wait for a former master that says nothing") {
    // It would ask a second time before it gave up.
    bool asked_once = false;
    for (int attempt = 0; attempt < 5 && !asked_once; ++attempt) {
        CAPTURE(attempt);
        std::atomic<bool> is_known{false};
        FakeServer master([&](std::size_t, const std::string& line) {
            if (contains(line, "replication.fence")) is_known = true;
            return FakeAnswer{};
        });
        const auto announcements = [&] {
            const std::vector<std::string> requests = master.requests();
            return std::ranges::count_if(
                requests, [](const std::string& line) { return contains(line, "replication.fence"); });
        };
        MemoryStorage storage;
        const TempDir directory;
        {
            InProcessNode node(storage);
            node.database().increment("a", 1, 1, some_day);
        }
        {
            InProcessNode slave(storage, slave_options(), following(master.port(), directory));
            slave.node().promote();
            REQUIRE(comes_true([&] { return is_known.load(); }));
        }
        // Unless the machine stood still in between.
        asked_once = announcements() == 1;
    }
    CHECK(asked_once);
}

}  // namespace karma::test
