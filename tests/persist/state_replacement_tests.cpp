// What goes on elsewhere while another state takes the place of the stored one.
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/support/comes_true.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

// Calls something before a range is erased.
class ErasedStorage final : public ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void erase_range(Table table, std::string_view begin, std::string_view end) override {
        if (on_erase) on_erase(table);
        ForwardingStorage::erase_range(table, begin, end);
    }

    std::function<void(Table)> on_erase;
};

Outcome execute_keyed(Database& database, std::uint64_t i) {
    const Mutation body = mutation::Increment{"a", i, some_day, 1};
    const std::string key = "key-" + std::to_string(i);
    const Request request = KeyedMutation{&body, key, {}};
    Outcome outcome;
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    database.commit();
    return outcome;
}

DatabaseOptions remembering(std::uint64_t records_max, bool is_follower = false) {
    DatabaseOptions options;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    options.idempotency.records_max = records_max;
    options.read_only = is_follower;
    options.threads = false;  // the test alone says when records are erased
    return options;
}

}  // namespace

TEST_CASE("state replacement: what was to be forgotten of the old state is not erased from the new one") {
    constexpr std::uint64_t records = 20;
    MemoryStorage master_storage;
    const auto master = Database::open(remembering(1'000), master_storage);
    for (std::uint64_t i = 0; i < records; ++i) execute_keyed(*master, i);
    MemoryStorage storage;
    {
        // Its records that live are of later LSNs than all of the master's.
        const auto old = Database::open(remembering(2), storage);
        for (std::uint64_t i = 0; i < 10 * records; ++i) execute_keyed(*old, 1'000 + i);
    }
    ErasedStorage watched(storage);
    auto follower = Database::open(remembering(2, true), watched);
    REQUIRE(follower->wait_until_ready());
    std::promise<void> installed;
    std::atomic<bool> has_begun{false};
    std::jthread installing;
    const auto install = [&] {
        const auto writer = follower->write_state(master->idempotency_retention());
        const auto pin = master->pin_log(0);
        master->read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
        writer->install(Replacement());
        installed.set_value();
    };
    watched.on_erase = [&](Table table) {
        if (table != Table::idempotency || has_begun.exchange(true)) return;
        installing = std::jthread(install);
        // One that does not wait for what is erased here is through by then.
        installed.get_future().wait_for(std::chrono::milliseconds(500));
    };
    CHECK(comes_true([&] {
        follower->maintain();
        return has_begun.load();
    }));
    installing.join();
    CHECK(follower->last_lsn() == master->last_lsn());
    follower.reset();
    follower = Database::open(remembering(1'000, true), watched);
    REQUIRE(follower->wait_until_ready());
    follower->promote();
    for (std::uint64_t i = 0; i < records; ++i) {
        CAPTURE(i);
        CHECK(execute_keyed(*follower, i).deduplication == Deduplication::repeat);
    }
}

}  // namespace karma::test
