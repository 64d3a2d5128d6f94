#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/event_codec.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void append(Storage& storage, const std::vector<std::int64_t>& times) {
    EventGroupBuilder builder;
    const Lsn first = storage.next_lsn();
    for (std::size_t i = 0; i < times.size(); ++i) {
        builder.add({first + i, times[i], fact::Increment{"a", 1, 739'575, 1}});
    }
    std::string bytes;
    builder.finish(bytes);
    storage.append({first, static_cast<std::uint32_t>(times.size()), bytes}, {}, true);
}

}  // namespace

TEST_CASE("log search: an empty log") {
    MemoryStorage storage;
    CHECK(first_kept_lsn(storage) == 0);
    CHECK(first_lsn_from_time(storage, 0) == 1);
}

TEST_CASE("log search: the group in which a time begins") {
    std::mt19937_64 engine = test::random_engine("log search");
    for (int round = 0; round < 50; ++round) {
        MemoryStorage storage;
        storage.skip_to(random_between(engine, 1, 1'000));
        const RecordChange ordered = ordered_lsn_change(0);
        storage.write(std::span(&ordered, 1), true);
        struct Group {
            Lsn first_lsn;
            std::int64_t first_ms;
        };
        std::vector<Group> groups;
        std::int64_t now_ms = 1'000;
        const std::uint64_t count = random_between(engine, 1, 40);
        for (std::uint64_t i = 0; i < count; ++i) {
            std::vector<std::int64_t> times;
            const Lsn first = storage.next_lsn();
            for (std::uint64_t events = random_between(engine, 1, 5); events > 0; --events) {
                now_ms += static_cast<std::int64_t>(random_between(engine, 0, 3));  // equal ones too
                times.push_back(now_ms);
            }
            groups.push_back({first, times.front()});
            append(storage, times);
        }
        CHECK(first_kept_lsn(storage) == groups.front().first_lsn);
        for (std::int64_t time_ms = 990; time_ms <= now_ms + 2; ++time_ms) {
            Lsn expected = groups.front().first_lsn;
            for (const Group& group : groups) {
                if (group.first_ms < time_ms) {
                    expected = group.first_lsn;
                }
            }
            CHECK(first_lsn_from_time(storage, time_ms) == expected);
        }
    }
}

namespace {

/// What search_events finds, or the code of its refusal.
struct Found {
    std::vector<Lsn> lsns;
    bool complete = false;
    std::optional<ErrorCode> refused;
};

Found search(const Storage& storage, std::optional<Lsn> after, Lsn last, const EventFilter& filter = {}) {
    const Reply reply = search_events(storage, filter, after, 1'000, last, NoDeadline());
    Found found;
    if (const auto* const error = std::get_if<Error>(&reply)) {
        found.refused = error->code;
        return found;
    }
    const reply::Events& events = std::get<reply::Events>(reply);
    for (const Event& event : events.found.events()) {
        found.lsns.push_back(event.lsn);
    }
    found.complete = events.complete;
    return found;
}

/// Loses events to retention between two reads of the log.
class ErasingStorage final : public ForwardingStorage {
public:
    ErasingStorage(MemoryStorage& under, Lsn below)
        : ForwardingStorage(under), erased_(under), below_(below) {}

    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override {
        ForwardingStorage::read_log(from, visit);
        erased_.erase_log_below(below_);
    }

private:
    MemoryStorage& erased_;
    Lsn below_;
};

/// Events 1 to 4 in two groups, a hole, and events 8 and 9.
void fill_with_hole(MemoryStorage& storage) {
    append(storage, {1'000, 1'001});
    append(storage, {1'002, 1'003});
    skip_log_to(storage, 8);
    append(storage, {1'004, 1'005});
}

}  // namespace

TEST_CASE("log search: events that are missing are never passed over") {
    MemoryStorage storage;
    fill_with_hole(storage);
    CHECK(first_kept_lsn(storage) == 8);
    CHECK(first_stored_lsn(storage) == 1);
    const Found all = search(storage, std::nullopt, 9);
    CHECK(all.lsns == std::vector<Lsn>{8, 9});
    CHECK(all.complete);
    // What lies before the hole can be had, up to it.
    const Found before = search(storage, 1, 9);
    CHECK(before.lsns == std::vector<Lsn>{2, 3, 4});
    CHECK_FALSE(before.complete);
    CHECK(search(storage, 4, 9).refused == ErrorCode::replication_gap);
    CHECK(search(storage, 6, 9).refused == ErrorCode::replication_gap);
    CHECK(search(storage, 7, 9).lsns == std::vector<Lsn>{8, 9});
    // Behind the end of the log there are events that are in no log.
    const Found behind = search(storage, 8, 20);
    CHECK(behind.lsns == std::vector<Lsn>{9});
    CHECK_FALSE(behind.complete);
    CHECK(search(storage, 9, 20).refused == ErrorCode::replication_gap);
}

TEST_CASE("log search: a time does not lead past events that are not kept any more") {
    MemoryStorage storage;
    EventFilter filter;
    filter.from_ms = 900;
    storage.skip_to(8);
    CHECK(search(storage, 3, 7, filter).refused == ErrorCode::replication_gap);  // no events at all
    CHECK(search(storage, 7, 7, filter).complete);
    append(storage, {1'000, 1'001});
    for (const std::int64_t from_ms : {900, 1'000}) {
        filter.from_ms = from_ms;
        CHECK(search(storage, 3, 9, filter).refused == ErrorCode::replication_gap);
        CHECK(search(storage, 7, 9, filter).lsns == std::vector<Lsn>{8, 9});
        CHECK(search(storage, std::nullopt, 9, filter).lsns == std::vector<Lsn>{8, 9});
    }
    // What is gone was before: nothing is missing.
    filter.from_ms = 1'001;
    CHECK(search(storage, 3, 9, filter).lsns == std::vector<Lsn>{9});
    filter.from_ms = 2'000;
    CHECK(search(storage, 3, 9, filter).complete);
}

TEST_CASE("log search: events that are dropped meanwhile are missed loudly") {
    MemoryStorage memory;
    for (int i = 0; i < 5; ++i) {
        append(memory, {1'000, 1'001});
    }
    {
        MemoryStorage copy(memory);
        const ErasingStorage erasing(copy, 7);
        CHECK(search(erasing, 2, 10).refused == ErrorCode::replication_gap);
    }
    MemoryStorage copy(memory);
    const ErasingStorage erasing(copy, 7);
    CHECK(search(erasing, std::nullopt, 10).lsns == std::vector<Lsn>{7, 8, 9, 10});
}

TEST_CASE("log search: a hole that an earlier version has left is found once") {
    MemoryStorage storage;
    append(storage, {1'000, 1'001});
    storage.skip_to(8);
    append(storage, {1'004, 1'005});
    CHECK(first_kept_lsn(storage) == 1);
    ensure_unbroken_lsn(storage);
    CHECK(first_kept_lsn(storage) == 8);
    storage.erase_log_below(8);
    ensure_unbroken_lsn(storage);
    CHECK(read_unbroken_lsn(storage) == 8);
}

}  // namespace karma::test
