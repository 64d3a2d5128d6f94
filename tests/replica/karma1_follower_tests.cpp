// A node takes over what a Karma 1.0 has, from its snapshots and its log, and nothing is lost or counted
// twice on the way.
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "cli/karma1/directory_importer.h"
#include "engine/fingerprinter.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "replica/digests.h"
#include "replica/karma1/follower.h"
#include "tests/replica/fake_karma1.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

using karma::test::FakeKarma1;

namespace {

constexpr std::uint32_t may5 = 20260505;
constexpr const char* no_records = R"({"records":[],"committed_streams":[]})";

std::string increment(const std::string& series, std::uint64_t key, std::uint64_t value,
                      const std::string& more = {}) {
    return R"("op":"counter.increment","series":")" + series + R"(","key":)" + std::to_string(key) +
           ",\"bucket\":20260505,\"value\":" + std::to_string(value) + more;
}

std::string keyed(const std::string& key) {
    return ",\"idempotency_key\":\"" + key + "\",\"idempotency_created_at_unix\":4000000000";
}

std::string chunk(const std::string& stream, const std::string& series, int seq, std::uint64_t value) {
    return R"("op":"ingest.chunk","stream_id":")" + stream + R"(","series":")" + series +
           R"(","chunk_seq":)" + std::to_string(seq) + ",\"items\":[[1,20260505," + std::to_string(value) +
           "]]";
}

/// A slave, and who follows the master for it.
class Node {
public:
    explicit Node(const FakeKarma1& master, std::uint32_t batch_size = 3)
        : database_(open(storage_)), port_(master.port()), batch_size_(batch_size) {
        REQUIRE(database_->wait_until_ready());
        renew();
    }

    /// As after a restart.
    void renew() {
        follower_.emplace(
            *database_,
            replica::MasterClient(replica::machine_network(), {"127.0.0.1", port_, test::patience()}, ""),
            batch_size_, directory_.path());
    }

    replica::Karma1Follower& follower() { return *follower_; }
    Database& database() { return *database_; }
    std::uint64_t sum(const std::string& series, std::uint64_t key) { return database_->sum(series, key); }
    bool has(const std::string& series) {
        return !std::holds_alternative<Error>(database_->call(query::SeriesSummary{series, {}}));
    }
    /// Polls until it has everything; gives what the polls did.
    replica::Karma1Follower::Polled catch_up() {
        replica::Karma1Follower::Polled all;
        while (true) {
            if (follower_->needs_bootstrap()) {
                follower_->bootstrap();
            }
            const replica::Karma1Follower::Polled polled = follower_->poll();
            all.applied += polled.applied;
            all.refused += polled.refused;
            if (polled.source_lsn == database_->durable_lsn()) {
                return all;
            }
        }
    }
    std::string failure() {
        try {
            catch_up();
        } catch (const std::exception& failed) {
            return failed.what();
        }
        return {};
    }
    bool left_nothing() const { return std::filesystem::is_empty(directory_.path()); }

private:
    static std::unique_ptr<Database> open(Storage& storage) {
        DatabaseOptions options;
        options.read_only = true;
        options.idempotency.age_max_s = 0;
        return Database::open(options, storage);
    }

    test::TempDir directory_;
    MemoryStorage storage_;
    std::unique_ptr<Database> database_;
    std::uint16_t port_;
    std::uint32_t batch_size_;
    std::optional<replica::Karma1Follower> follower_;
};

bool contains(const std::string& text, const std::string& what) {
    return text.find(what) != std::string::npos;
}

/// Whether a request with this key was executed before.
bool is_repeat(Database& database, const std::string& series, std::uint64_t key, std::uint64_t value,
               const std::string& idempotency_key) {
    const Mutation body = mutation::Increment{series, key, *day_from_yyyymmdd(may5), value};
    const Request request = KeyedMutation{&body, idempotency_key, {}};
    Outcome outcome;
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    return outcome.deduplication == Deduplication::repeat;
}

}  // namespace

TEST_CASE("karma1: a log without snapshots is followed from its beginning, with the same LSNs") {
    FakeKarma1 master;
    master.log(increment("a", 1, 2));
    master.log(increment("a", 1, 3, keyed("k")));
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"add","granularity":"day")");
    master.log(chunk("s", "b", 1, 7));
    master.log(R"("op":"ingest.commit","stream_id":"s")");
    master.log(R"("op":"recovery.checkpoint","source":"x","offset":"1")");
    master.log(R"("op":"idempotency.prune","before":5)");
    Node node(master);
    CHECK(node.follower().needs_bootstrap());
    CHECK(node.catch_up().applied == 7);
    CHECK(node.database().durable_lsn() == 7);
    CHECK(node.sum("a", 1) == 5);
    CHECK(node.sum("b", 1) == 7);
    CHECK(node.database().call(query::Checkpoints{}).index() != Reply(Error{}).index());
    master.log(increment("a", 1, 10));
    CHECK(node.catch_up().applied == 1);
    CHECK(node.sum("a", 1) == 15);
    node.database().promote();
    CHECK(is_repeat(node.database(), "a", 1, 3, "k"));
    CHECK_FALSE(is_repeat(node.database(), "a", 1, 3, "other"));
}

TEST_CASE("karma1: entries that the master has refused use up their LSNs, and nothing else") {
    FakeKarma1 master;
    master.log(increment("a", 1, 18446744073709551615U));
    master.log(R"("op":"series.batch_add","series":"a","items":[[2,20260505,1],[1,20260505,1]])");
    master.log(R"("op":"tree.drop","series":"missing")");
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"add")");
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"set")");
    master.log(R"("op":"ingest.abort","stream_id":"other")");
    master.log(chunk("s", "a", 1, 1));  // passes 2^64-1
    master.log(increment("a", 3, 4));
    Node node(master);
    const replica::Karma1Follower::Polled polled = node.catch_up();
    CHECK(polled.applied == 8);
    CHECK(polled.refused == 5);
    CHECK(node.database().durable_lsn() == 8);
    CHECK(node.sum("a", 1) == 18446744073709551615U);
    CHECK(node.sum("a", 2) == 0);
    CHECK(node.sum("a", 3) == 4);
}

TEST_CASE("karma1: files of different LSNs, records and the events between make one state") {
    FakeKarma1 master;
    master.log(increment("a", 1, 1, keyed("first")));  // 1
    master.log(increment("b", 1, 10));                 // 2
    master.set_tree("b", {"1_b.tree", tree_bytes({{1, {{may5, 10}}}}), 2, 1});
    master.log(increment("a", 1, 2, keyed("second")));                  // 3
    master.log(increment("b", 1, 20));                                  // 4
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"add")");  // 5
    master.log(chunk("s", "a", 1, 100));                                // 6
    master.set_tree("a", {"2_a.tree", tree_bytes({{1, {{may5, 103}}}, {5, {}}}), 6, 2});
    master.log(chunk("s", "a", 2, 1000));                   // 7
    master.log(R"("op":"ingest.commit","stream_id":"s")");  // 8
    master.log(increment("c", 9, 9));                       // 9
    Node node(master, 2);
    node.follower().bootstrap();
    CHECK(node.database().durable_lsn() == 6);
    CHECK(node.sum("a", 1) == 103);
    CHECK(node.sum("b", 1) == 30);
    CHECK(node.catch_up().refused == 0);
    CHECK(node.database().durable_lsn() == 9);
    CHECK(node.sum("a", 1) == 1103);
    CHECK(node.sum("c", 9) == 9);
    CHECK(node.left_nothing());
    node.database().promote();
    CHECK(is_repeat(node.database(), "a", 1, 1, "first"));
    CHECK(is_repeat(node.database(), "a", 1, 2, "second"));
    const Reply begun = node.database().call(Mutation(mutation::BeginStream{"s", IngestMode::add, {}}));
    CHECK(std::get<reply::StreamBegun>(begun).already_committed);
}

namespace {

/// What a Karma 1.0 keeps of an increment with an idempotency key, and of a committed stream.
std::string records_of(const mutation::Increment& counted, const std::string& key) {
    Fingerprinter fingerprinter;
    return R"({"records":[{"key":")" + key + R"(","operation":"increment","fingerprint":")" +
           fingerprinter.of(counted, 0).hex() +
           R"(","response":1,"created_at_unix":4000000000}],"committed_streams":[{"stream_id":"s",)"
           R"("mode":"add","granularity":null,"series_name":"a","last_chunk_seq":1,"begin_fingerprint":")" +
           std::string(64, 'b') + R"(","chunk_fingerprints":{"1":")" + std::string(64, 'c') +
           R"("},"committed_at_unix":1700000000}]})";
}

std::unique_ptr<Database> open_imported(RocksdbStorage& storage) {
    DatabaseOptions options;
    options.read_only = true;
    options.idempotency.age_max_s = 0;
    std::unique_ptr<Database> database = Database::open(options, storage);
    REQUIRE(database->wait_until_ready());
    return database;
}

}  // namespace

TEST_CASE("karma1: an import of the directory and a follower come to the same state") {
    FakeKarma1 master;
    master.log(increment("a", 1, 1, keyed("first")));                   // 1
    master.log(increment("b", 1, 10));                                  // 2
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"add")");  // 3
    master.log(chunk("s", "a", 1, 100));                                // 4
    master.log(R"("op":"ingest.commit","stream_id":"s")");              // 5
    master.set_tree("a", {"2_a.tree", tree_bytes({{1, {{may5, 101}}}}), 5, 2});
    master.set_tree("b", {"2_b.tree", tree_bytes({{1, {{may5, 10}}}}), 5, 2});
    master.set_records({records_of({"a", 1, *day_from_yyyymmdd(may5), 1}, "first"), 5, 2});
    bool is_cut = false;
    SUBCASE("whole log") {}
    SUBCASE("log cut off at the snapshot") { is_cut = true; }
    if (is_cut) {
        master.cut_log(5);
    }
    master.log(increment("a", 1, 2, keyed("second")));                     // 6
    master.log(increment("b", 1, 18446744073709551615U));                  // 7: refused
    master.log(increment("c", 7, 3, keyed("third")));                      // 8
    master.log(R"("op":"ingest.begin","stream_id":"open","mode":"set")");  // 9
    master.log(chunk("open", "d", 1, 5));                                  // 10
    master.log(R"("op":"tree.drop","series":"missing")");                  // 11: refused

    Node node(master);
    node.catch_up();
    const TempDir directory;
    master.write_files(directory.path());
    cli::DirectoryImporter importer(directory.path());
    importer.read();
    const cli::DirectoryImport done = importer.store(directory.path() / "karma.db", 1);
    CHECK(done.refused == 2);
    CHECK(done.records == 3);
    CHECK(done.state.lsn == node.database().durable_lsn());

    RocksdbStorage::Options options;
    options.path = directory.path() / "karma.db";
    RocksdbStorage storage(options);
    const std::unique_ptr<Database> imported = open_imported(storage);
    // With the numbers of the idempotency records.
    const auto digests = [](Database& database) {
        return replica::digests_of(database.view(), NoDeadline());
    };
    CHECK(replica::difference(digests(*imported), digests(node.database())) == "");
    for (Database* const database : {imported.get(), &node.database()}) {
        database->promote();
        CHECK(is_repeat(*database, "a", 1, 1, "first"));
        CHECK(is_repeat(*database, "a", 1, 2, "second"));
        CHECK(is_repeat(*database, "c", 7, 3, "third"));
        CHECK_FALSE(is_repeat(*database, "a", 1, 1, "fourth"));
        const Reply begun = database->call(Mutation(mutation::BeginStream{"s", IngestMode::add, {}}));
        CHECK(std::get<reply::StreamBegun>(begun).already_committed);
    }
}

TEST_CASE("karma1: a snapshot of everything is taken where the log is cut off") {
    FakeKarma1 master;
    master.skip_to(21);
    // Karma 1.0 leaves the files of dropped series behind.
    master.set_tree("dropped", {"1_dropped.tree", tree_bytes({{1, {{may5, 5}}}}), 9, 100});
    master.set_tree("a", {"2_a.tree", tree_bytes({{1, {{may5, 7}}}}), 20, 200});
    master.set_records(
        {R"({"records":[{"key":"k","operation":"increment","fingerprint":")" + std::string(64, 'a') +
             R"(","response":3,"created_at_unix":4000000000}],"committed_streams":[{"stream_id":"s","mode":"add",)"
             R"("granularity":null,"series_name":"a","last_chunk_seq":1,"begin_fingerprint":")" +
             std::string(64, 'b') + R"(","chunk_fingerprints":{"1":")" + std::string(64, 'c') +
             R"("},"committed_at_unix":1700000000}]})",
         20, 200});
    master.log(increment("a", 1, 1));
    master.log(R"("op":"ingest.begin","stream_id":"s","mode":"set")");  // refused: it was committed
    Node node(master);
    const replica::Karma1Follower::Polled polled = node.catch_up();
    CHECK(polled.applied == 2);
    CHECK(polled.refused == 1);
    CHECK(node.sum("a", 1) == 8);
    CHECK_FALSE(node.has("dropped"));
    const Reply checkpoints = node.database().call(query::Checkpoints{});
    CHECK(std::get<reply::Checkpoints>(checkpoints).checkpoints.size() == 1);
    CHECK(node.database().view().of<IdempotencyIndex>().record_count == 1);
    CHECK(node.database().view().of<IngestStreams>().committed_count == 1);
}

TEST_CASE("karma1: a series that was dropped after its file, and made again, begins anew") {
    FakeKarma1 master;
    master.log(increment("a", 1, 5));
    master.set_tree("a", {"1_a.tree", tree_bytes({{1, {{may5, 5}}}}), 1, 1});
    master.log(R"("op":"tree.drop","series":"a")");
    master.log(increment("a", 1, 2));
    master.log(increment("b", 1, 1));
    master.set_tree("b", {"2_b.tree", tree_bytes({{1, {{may5, 1}}}}), 4, 2});
    Node node(master);
    node.catch_up();
    CHECK(node.sum("a", 1) == 2);
}

TEST_CASE("karma1: after a gap a newer state is taken, by who has the master's already") {
    FakeKarma1 master;
    for (int i = 0; i < 4; ++i) {
        master.log(increment("a", 1, 1));
    }
    Node node(master);
    node.catch_up();
    master.log(increment("a", 1, 1));
    master.log(increment("a", 1, 1));
    master.cut_log(5);
    CHECK(contains(node.failure(), "snapshot.create_all"));
    CHECK(contains(node.failure(), "snapshot.create_all"));
    CHECK(node.sum("a", 1) == 4);
    master.set_tree("a", {"1_a.tree", tree_bytes({{1, {{may5, 5}}}}), 5, 1});
    master.set_records({no_records, 5, 1});
    CHECK(node.catch_up().applied == 1);
    CHECK(node.sum("a", 1) == 6);
    // After a restart nobody knows whose events these are.
    node.renew();
    master.log(increment("a", 1, 1));
    master.log(increment("a", 1, 1));
    master.cut_log(7);
    CHECK(contains(node.failure(), "--restore=false"));
    CHECK_FALSE(node.follower().needs_bootstrap());
    CHECK(node.sum("a", 1) == 6);
}

TEST_CASE("karma1: a log that does not reach back to the snapshots is no state") {
    FakeKarma1 master;
    master.skip_to(10);
    master.log(increment("a", 1, 1));
    Node node(master);
    CHECK(contains(node.failure(), "snapshot.create_all"));
    CHECK(node.database().durable_lsn() == 0);
    master.set_tree("a", {"1_a.tree", tree_bytes({{1, {{may5, 5}}}}), 3, 1});
    CHECK(contains(node.failure(), "snapshot.create_all"));
    CHECK(master.requests("snapshot.fetch_chunk") == 0);
}

TEST_CASE("karma1: parts of a stream that began before the log are not passed over") {
    FakeKarma1 master;
    master.skip_to(10);
    master.log(increment("a", 1, 1));
    master.set_tree("a", {"1_a.tree", tree_bytes({{1, {{may5, 5}}}}), 9, 1});
    master.set_records({no_records, 9, 1});
    Node node(master);
    node.catch_up();
    master.log(increment("a", 1, 2));
    master.log(chunk("lost", "a", 2, 100));
    CHECK(contains(node.failure(), "\"lost\""));
    CHECK(contains(node.failure(), "\"lost\""));
    CHECK(node.sum("a", 1) == 8);  // what came before it
    CHECK(node.database().durable_lsn() == 11);
    master.log(R"("op":"ingest.commit","stream_id":"lost")");
    master.set_tree("a", {"2_a.tree", tree_bytes({{1, {{may5, 108}}}}), 13, 2});
    master.set_records({no_records, 13, 2});
    master.cut_log(13);
    CHECK(node.failure().empty());
    CHECK(node.database().durable_lsn() == 13);
    CHECK(node.sum("a", 1) == 108);
}

TEST_CASE("karma1: files that are lost or too long for one answer") {
    FakeKarma1 master;
    std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>> values;
    for (std::uint64_t key = 0; key < 3000; ++key) {
        values[key * 1'000'003] = {{may5, key + 1}};
    }
    master.skip_to(6);
    master.set_tree("a", {"1_a.tree", tree_bytes(values), 5, 1});
    master.set_records({no_records, 5, 1});
    Node node(master);
    SUBCASE("lost") {
        master.lose_files();
        CHECK(contains(node.failure(), "not found"));
        CHECK(node.database().durable_lsn() == 0);
    }
    SUBCASE("long") {
        master.set_chunk_max(5000);
        CHECK(node.failure().empty());
        CHECK(node.sum("a", 2999 * 1'000'003ULL) == 3000);
        CHECK(master.requests("snapshot.fetch_chunk") > 10);
    }
    SUBCASE("endless") {
        master.send_without_end();
        CHECK(contains(node.failure(), "changes while it is read, or is damaged"));
        CHECK(node.database().durable_lsn() == 0);
    }
    SUBCASE("damaged") {
        master.set_tree("a", {"1_a.tree", tree_bytes(values) + "x", 5, 1});
        CHECK(contains(node.failure(), "1_a.tree"));
        CHECK(node.database().durable_lsn() == 0);
    }
    CHECK(node.left_nothing());
}

TEST_CASE("karma1: a log that is another one, or no log, is not taken") {
    FakeKarma1 master;
    Node node(master);
    SUBCASE("LSNs that are left out") {
        master.log(increment("a", 1, 1));
        master.skip_to(4);
        master.log(increment("a", 1, 1));
        CHECK(contains(node.failure(), "LSN 2 should come"));
        CHECK(node.database().durable_lsn() == 1);
    }
    SUBCASE("a shorter log") {
        master.log(increment("a", 1, 1));
        master.log(increment("a", 1, 1));
        node.catch_up();
        master.skip_to(2);
        CHECK(contains(node.failure(), "another log"));
        // That it is as long again, with other entries, mends nothing.
        master.log(increment("a", 1, 5));
        master.log(increment("a", 1, 5));
        CHECK(contains(node.failure(), "replication_gap"));
        node.renew();
        CHECK(contains(node.failure(), "replication_gap"));
        CHECK(node.database().durable_lsn() == 2);
    }
    SUBCASE("an entry that no request is") {
        master.log(R"("op":"counter.increment","series":"a","key":1,"bucket":20260231,"value":1)");
        CHECK(contains(node.failure(), "LSN 1"));
        CHECK(node.database().durable_lsn() == 0);
    }
    SUBCASE("an entry that changes no counters") {
        master.log(R"("op":"snapshot.load","file":"1_a.tree")");
        CHECK(contains(node.failure(), "LSN 1"));
    }
    SUBCASE("an entry that leaves its days to the clock") {
        std::string entry;
        SUBCASE("a bucket") { entry = R"("op":"counter.increment","series":"a","key":1,"value":1)"; }
        SUBCASE("a range") { entry = R"("op":"tree.delete_range","series":"a","last":"30d")"; }
        master.log(entry);
        CHECK(contains(node.failure(), "names no day"));
        CHECK(node.database().durable_lsn() == 0);
    }
    SUBCASE("an entry of a time that cannot be") {
        master.log(
            increment("a", 1, 1, R"(,"idempotency_key":"k","idempotency_created_at_unix":9300000000000000)"));
        CHECK(contains(node.failure(), "LSN 1"));
        CHECK(node.database().durable_lsn() == 0);
    }
}

TEST_CASE("karma1: that a master lost the end of its log stays in health when the log has passed that LSN") {
    FakeKarma1 master;
    MemoryStorage storage;
    const test::TempDir directory;
    const auto options = [&] {
        replica::NodeOptions following = test::following(master.port(), directory);
        following.follower->poll_interval = std::chrono::milliseconds(5);
        return following;
    };
    const auto tries_again = [](test::InProcessNode& node) {
        const std::uint64_t before = node.node().statistics().polls.attempts;
        return test::comes_true([&] { return node.node().statistics().polls.attempts >= before + 2; });
    };
    master.log(increment("a", 1, 1));
    master.log(increment("a", 1, 1));
    {
        test::InProcessNode node(storage, test::slave_options(), options());
        REQUIRE(test::comes_true([&] { return node.database().durable_lsn() == 2; }));
        CHECK(test::comes_true([&] { return test::health_of(node) == "ok"; }));
        master.skip_to(2);
        CHECK(test::comes_true([&] { return contains(test::health_of(node), "replication_gap"); }));
        for (int i = 0; i < 3; ++i) master.log(increment("a", 1, 5));
        REQUIRE(tries_again(node));
        CHECK(contains(test::health_of(node), "replication_gap"));
        CHECK(node.database().durable_lsn() == 2);
    }
    test::InProcessNode node(storage, test::slave_options(), options());
    CHECK(test::comes_true([&] { return contains(test::health_of(node), "replication_gap"); }));
    REQUIRE(tries_again(node));
    CHECK(contains(test::health_of(node), "replication_gap"));
    CHECK(node.database().durable_lsn() == 2);
}

}  // namespace karma::test
