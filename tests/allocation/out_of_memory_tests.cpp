// Memory that ends in the middle of a request, at each of its allocations: the request is answered, and what
// is in memory is what the log gives, or nothing of it is shown or written any more.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/allocation/counted_memory.h"
#include "tests/allocation/uncounted_storage.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

using Item = mutation::Item;

std::vector<Item> items_from(std::uint64_t first, std::uint64_t count) {
    std::vector<Item> items;
    for (std::uint64_t key = first; key < first + count; ++key) {
        items.push_back({key, some_day + static_cast<Day>(key % 3), key + 1});
    }
    return items;
}

DatabaseOptions options_for(bool wal) {
    DatabaseOptions options;
    options.wal = wal;
    options.threads = false;
    options.clock_ms = [] { return std::int64_t{1'777'000'000'000}; };
    return options;
}

/// What is there before the request: series of one and of many pages, streams, a checkpoint, a record.
class Prepared {
public:
    explicit Prepared(bool wal) : wal_(wal), storage_(disk_) {
        open();
        const std::vector<Item> many = items_from(0, 2'000);
        const std::vector<Item> few = items_from(0, 5);
        does(mutation::BatchAdd{"many", many});
        does(mutation::BatchAdd{"few", few});
        does(mutation::CreateSeries{"empty"});
        does(mutation::BeginStream{"was committed", IngestMode::add, {}});
        does(mutation::AddChunk{"was committed", "streamed", 1, few});
        does(mutation::CommitStream{"was committed"});
        does(mutation::BeginStream{"adds", IngestMode::add, {}});
        does(mutation::BeginStream{"replaces", IngestMode::replace_series, {}});
        does(mutation::AddChunk{"replaces", "few", 1, few});
        does(mutation::SaveCheckpoint{"kafka", "1", {}});
        const Mutation keyed = mutation::Increment{"few", 1, some_day, 1};
        database_->call(KeyedMutation{&keyed, "a key that was used before", {}});
        if (!wal) database_->save_snapshot();
        view_ = database_->view();  // so that pages are copied before they are changed
        before_ = database_->digest();
    }

    void open() { database_ = Database::open(options_for(wal_), storage_); }
    Database& database() { return *database_; }
    const Digest& before() const { return before_; }

    /// The state that a restart comes to.
    Digest restarted() {
        view_ = {};
        database_.reset();
        open();
        return database_->digest();
    }

private:
    void does(const Mutation& body) { REQUIRE_FALSE(std::holds_alternative<Error>(database_->call(body))); }

    bool wal_;
    MemoryStorage disk_;
    UncountedStorage storage_;
    std::unique_ptr<Database> database_;
    StateView view_;
    Digest before_;
};

struct Case {
    std::string name;
    Request request;
};

/// Every mutation, in the forms that differ in what they allocate. The texts live as long as the program.
std::vector<Case> mutations() {
    static const std::vector<Item> wide = items_from(1'000, 1'500);
    static const std::vector<Item> some = items_from(3, 20);
    static const std::vector<std::uint64_t> keys{1, 2, 3, 1'000, 5'000'000};
    static const std::string long_name(200, 'n');
    static const std::vector<mutation::SeriesItem> across{
        {"few", 1, some_day, 5}, {long_name, 1}, {"many", 5'000'000, some_day, 1}, {"few", 77, some_day, 5}};
    static const Mutation keyed = mutation::BatchAdd{"few", some};
    static const Mutation keyed_reset = mutation::BatchReset{"few", keys};
    static const Mutation keyed_across = mutation::MultiAdd{across};
    std::vector<Case> all;
    const auto add = [&](const std::string& name, const Mutation& body) { all.push_back({name, body}); };
    add("create", mutation::CreateSeries{long_name});
    add("drop", mutation::DropSeries{"many"});
    add("increment", mutation::Increment{"few", 1, some_day, 1});
    add("increment of a new key", mutation::Increment{"few", 77, some_day, 1});
    add("increment of a new series", mutation::Increment{long_name, 77, some_day, 1});
    add("decrement", mutation::Decrement{"few", 1, some_day, 1});
    add("batch_add", mutation::BatchAdd{"many", wide});
    add("batch_add to a new series", mutation::BatchAdd{long_name, wide});
    add("batch_set", mutation::BatchSet{"many", wide});
    add("multi_add", mutation::MultiAdd{across});
    add("reset", mutation::ResetCounter{"few", 1});
    add("tree.reset", mutation::ResetSeries{"many"});
    add("batch_reset", mutation::BatchReset{"many", keys});
    add("delete_range", mutation::DeleteCounterRange{"few", 1, DayRange{0, some_day}});
    add("tree.delete_range", mutation::DeleteSeriesRange{"many", DayRange{0, some_day}});
    add("batch_delete_range", mutation::BatchDeleteRange{"many", keys, DayRange{0, some_day}});
    add("delete_before", mutation::DeleteBefore{"many", some_day + 1});
    add("compact", mutation::CompactSeries{"many"});
    add("compact_all", mutation::CompactAll{});
    add("checkpoint", mutation::SaveCheckpoint{long_name, "some offset that is long", "and an event"});
    add("begin", mutation::BeginStream{long_name, IngestMode::add, "day"});
    add("chunk", mutation::AddChunk{"adds", "many", 1, wide});
    add("chunk of a replacement", mutation::AddChunk{"replaces", "few", 2, wide});
    add("commit", mutation::CommitStream{"replaces"});
    add("abort", mutation::AbortStream{"replaces"});
    add("prune", mutation::PruneRecords{1'900'000'000, {}});
    add("prune streams", mutation::PruneStreams{1'900'000'000, 10});
    all.push_back({"keyed batch_add", KeyedMutation{&keyed, "a new key that is long", {}}});
    all.push_back({"keyed multi_add", KeyedMutation{&keyed_across, "yet another new key that is long", {}}});
    all.push_back({"keyed batch_reset", KeyedMutation{&keyed_reset, "another new key that is long", {}}});
    return all;
}

std::vector<Case> queries() {
    static const std::vector<std::uint64_t> keys{1, 2, 3, 1'000};
    static const std::vector<query::SeriesKey> several{{"many", 1}, {"few", 2}};
    const DayRange range{some_day, some_day + 3};
    return {{"tree.list", query::ListSeries{}},
            {"tree.info", query::SeriesInfo{"many"}},
            {"tree.keys", query::SeriesKeys{"many", 10, {}}},
            {"tree.top", query::SeriesTop{"many", 10, {}, {}}},
            {"tree.summary", query::SeriesSummary{"many", range, {}}},
            {"tree.series", query::SeriesPoints{"many", range}},
            {"series.totals", query::BucketTotals{"many", range}},
            {"counter.sum", query::Sum{"many", 1, {}}},
            {"counter.sum of nothing", query::Sum{"a series that is not there at all", 1, {}}},
            {"counter.series", query::Points{"many", 1, range}},
            {"counter.batch_sum", query::BatchSum{"many", keys, {}}},
            {"counter.multi_sum", query::MultiSum{several, {}}},
            {"recovery.status", query::Checkpoints{}},
            {"replication.status", query::ReplicationStatus{}},
            {"system.metrics", query::Metrics{}},
            {"system.health", query::Health{}},
            {"snapshot.list", query::Snapshots{}},
            {"snapshot.info", query::SnapshotInfo{}}};
}

/// Executes it with memory that ends after so many allocations; for a moment, or for all the rest of it.
/// False when it needed no more than these.
bool executes_without(std::uint64_t allocations, bool all, Database& database, const Request& request,
                      Outcome& outcome) {
    fail_allocations_here(allocations, all);
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    database.commit();
    return end_failing();
}

bool is_refused(const Outcome& outcome) {
    const auto* const reply = std::get_if<Reply>(&outcome.result);
    return reply != nullptr && std::holds_alternative<Error>(*reply);
}

/// What is in memory now and after a restart, and whether that is what the reply says.
void check_state(Prepared& prepared, const Outcome& outcome, const Digest& after) {
    Database& database = prepared.database();
    // A server answers what never becomes durable with an error.
    const bool is_error = is_refused(outcome) || outcome.wait_lsn > database.durable_lsn();
    if (database.has_failed()) {
        CHECK(is_error);
        CHECK(database.failure() != "");
        CHECK(is_refused({database.call(Mutation(mutation::CreateSeries{"another"})), 0}));
        CHECK_THROWS(database.save_snapshot());
        if (contains(database.failure(), "memory ended")) {
            CHECK_THROWS(database.digest());
        }
    } else {
        CHECK(database.digest() == (is_error ? prepared.before() : after));
    }
    CHECK(prepared.restarted() == (is_error ? prepared.before() : after));
}

}  // namespace

TEST_CASE("out of memory: a mutation at any of its allocations") {
    for (const Case& one : mutations()) {
        CAPTURE(one.name);
        for (const bool all : {false, true}) {
            CAPTURE(all);
            Prepared whole(true);
            Outcome outcome;
            executes_without(1'000'000, false, whole.database(), one.request, outcome);
            REQUIRE_FALSE(is_refused(outcome));
            const Digest after = whole.database().digest();
            bool ended = true;
            // All of the first ones, and some of very many.
            for (std::uint64_t n = 0; ended; n += 1 + n / 40) {
                CAPTURE(n);
                Prepared prepared(true);
                Outcome cut_short;
                ended = executes_without(n, all, prepared.database(), one.request, cut_short);
                check_state(prepared, cut_short, after);
            }
        }
    }
}

TEST_CASE("out of memory: without a log nothing half is shown or stored") {
    for (const Case& one : mutations()) {
        CAPTURE(one.name);
        bool ended = true;
        for (std::uint64_t n = 0; ended; n += 1 + n / 10) {
            CAPTURE(n);
            Prepared prepared(false);
            Outcome outcome;
            ended = executes_without(n, false, prepared.database(), one.request, outcome);
            if (prepared.database().has_failed()) {
                CHECK(is_refused(outcome));
                CHECK_THROWS(prepared.database().save_snapshot());
                CHECK(prepared.restarted() == prepared.before());
            }
        }
    }
}

TEST_CASE("out of memory: what was executed before it in the same batch stays executed") {
    const std::vector<Item> wide = items_from(1'000, 100);
    bool ended = true;
    for (std::uint64_t n = 0; ended; ++n) {
        CAPTURE(n);
        Prepared prepared(true);
        std::vector<Request> requests{Mutation(mutation::Increment{"few", 1, some_day, 1}),
                                      Mutation(mutation::BatchAdd{"a series that is new here", wide}),
                                      Mutation(mutation::Increment{"few", 2, some_day, 1})};
        std::vector<Outcome> outcomes(requests.size());
        fail_allocations_here(n, false);
        prepared.database().execute(requests, outcomes);
        ended = end_failing();
        prepared.database().commit();
        const bool has_failed = prepared.database().has_failed();
        prepared.restarted();
        // Where it has failed none of them became durable.
        const auto expected = [&](std::size_t at) {
            return is_refused(outcomes[at]) || has_failed ? 3U : 4U;
        };
        CHECK(prepared.database().sum("few", 1) == expected(0));
        CHECK(prepared.database().sum("few", 2) == expected(2));
    }
}

TEST_CASE("out of memory: a query at any of its allocations changes nothing") {
    Prepared prepared(true);
    prepared.database().save_snapshot();
    for (const Case& one : queries()) {
        CAPTURE(one.name);
        for (const bool all : {false, true}) {
            bool ended = true;
            for (std::uint64_t n = 0; ended; ++n) {
                CAPTURE(n);
                Outcome outcome;
                ended = executes_without(n, all, prepared.database(), one.request, outcome);
                CHECK((ended || !is_refused(outcome) || one.name == "counter.sum of nothing"));
                REQUIRE_FALSE(prepared.database().has_failed());
            }
        }
    }
    CHECK(prepared.database().digest() == prepared.before());
}

TEST_CASE("out of memory: a follower at any of the allocations of an event") {
    MemoryStorage master_storage;
    const auto master = Database::open(options_for(true), master_storage);
    const std::vector<Item> few = items_from(0, 5);
    const std::vector<Item> wide = items_from(0, 300);
    std::vector<std::string> groups;
    Digest before;
    for (const Mutation& body :
         {Mutation(mutation::BatchAdd{"few", few}), Mutation(mutation::BatchAdd{"few", wide}),
          Mutation(mutation::Increment{"few", 1, some_day, 1})}) {
        master->call(body);
        master->read_log(master->last_lsn(), [&](const EventGroup& group) {
            groups.emplace_back(group.bytes);
            return true;
        });
        if (groups.size() == 1) before = master->digest();
    }
    REQUIRE(groups.size() == 3);
    DatabaseOptions options = options_for(true);
    options.read_only = true;
    std::uint64_t failures = 0;
    bool ended = true;
    for (std::uint64_t n = 0; ended; ++n) {
        CAPTURE(n);
        MemoryStorage disk;
        UncountedStorage storage(disk);
        {
            const auto follower = Database::open(options, storage);
            follower->replicate(groups[0], std::nullopt);
            follower->commit_replicated();
            fail_allocations_here(n, false);
            try {
                follower->replicate(groups[1], std::nullopt);
            } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): what it is differs
            }
            ended = end_failing();
            if (follower->has_failed()) {
                // Nothing is put on top of half an event.
                ++failures;
                CHECK_THROWS_AS(follower->replicate(groups[1], std::nullopt), StorageError);
                CHECK_THROWS_AS(follower->replicate(groups[2], std::nullopt), StorageError);
                CHECK_THROWS(follower->commit_replicated());
                CHECK_THROWS(follower->digest());
            } else {
                follower->replicate(groups[1], std::nullopt);
                follower->replicate(groups[2], std::nullopt);
                follower->commit_replicated();
                CHECK(follower->digest() == master->digest());
                continue;
            }
        }
        CHECK(Database::open(options, storage)->digest() == before);
    }
    CHECK(failures > 0);
}

}  // namespace karma::test
