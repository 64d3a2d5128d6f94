#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/event_codec.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void append(Storage& storage, const std::vector<std::int64_t>& times) {
    EventGroupBuilder builder;
    const Lsn first = storage.next_lsn();
    for (std::size_t i = 0; i < times.size(); ++i) {
        builder.add({first + i, times[i], mutation::Increment{"a", 1, 739'575, 1}});
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

}  // namespace karma::test
