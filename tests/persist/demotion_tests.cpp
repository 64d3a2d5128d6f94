// What a node that was master does not do any more, and when it is still one.
#include <memory>
#include <span>
#include <string>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

class NeverOver final : public Deadline {
protected:
    bool expired() const override { return false; }
};

DatabaseOptions at_rest() {
    DatabaseOptions options;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    return options;
}

std::unique_ptr<Task> queue_load(Database& database) {
    const Request request = control::LoadSnapshot{"1780000000_s.tree"};
    Outcome outcome;
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result);
    REQUIRE(task != nullptr);
    return std::move(*task);
}

}  // namespace

TEST_CASE("demotion: a load that waits in a queue writes nothing on a node that is no master any more") {
    MemoryStorage storage;
    const auto node = Database::open(at_rest(), storage);
    node->increment("s", 1, 5, some_day);
    node->save_snapshot();
    // As master it loads what was stored.
    CHECK(std::holds_alternative<reply::SeriesLoaded>(queue_load(*node)->run(NeverOver())));
    const std::unique_ptr<Task> queued = queue_load(*node);
    node->fence({3, 9, 0}, node->database_id());
    SUBCASE("but fenced") {}
    SUBCASE("but a follower") { node->demote(); }
    REQUIRE(node->role() != Role::master);
    const Lsn before = node->last_lsn();
    CHECK_THROWS_AS(queued->run(NeverOver()), RequestError);
    CHECK(node->last_lsn() == before);
    CHECK(node->sum("s", 1) == 5);
}

TEST_CASE("demotion: a fence that cannot be stored leaves a master, in memory as in storage") {
    MemoryStorage under;
    {
        FaultyStorage storage(under);
        const auto node = Database::open(at_rest(), storage);
        node->increment("s", 1, 5, some_day);
        const std::uint64_t generation = node->generation();
        storage.fail_after(1'000'000, 0);
        CHECK_THROWS_AS(node->fence({3, 9, 0}, node->database_id()), StorageError);
        storage.heal();
        CHECK(node->role() == Role::master);
        CHECK(node->known_epoch().number == 0);
        CHECK(node->generation() == generation);
        node->increment("s", 1, 5, some_day);
        CHECK(node->sum("s", 1) == 10);
    }
    const auto again = Database::open(at_rest(), under);
    CHECK(again->role() == Role::master);
    CHECK(again->sum("s", 1) == 10);
    // Told again it is stored.
    CHECK(again->fence({3, 9, 0}, again->database_id()));
    CHECK(again->role() == Role::fenced);
}

}  // namespace karma::test
