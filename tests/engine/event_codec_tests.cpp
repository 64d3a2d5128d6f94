#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "engine/event_selection.h"
#include "engine/msgpack_bytes.h"
#include "tests/engine/event_group.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// One event of each kind, at the extremes. What they borrow is static.
std::vector<Event> one_of_each() {
    using namespace fact;
    using mutation::Item;
    using mutation::SeriesItem;
    static const std::vector<Item> items = {{0, 0, 0}, {largest, max_day, largest}, {7, 739'000, 5}};
    static const std::vector<std::uint64_t> keys = {0, 1, largest};
    static const std::vector<SeriesItem> series_items = {
        {"b", 0, 0, 0}, {"new", largest, max_day, largest}, {"b", 7, 739'000, 5}, {"a", 1, today, 1}};
    static const Fingerprint fingerprint{{1, 2, 3}};
    const std::vector<Fact> bodies = {
        CreateSeries{"a"},
        DropSeries{"\xd1\x81\xd0\xb5\xd1\x80\xd0\xb8\xd1\x8f"},
        Increment{"a", largest, max_day, largest},
        Increment{"b", 0, 0, 1},
        Decrement{"a", 42, 739'375, 128},
        BatchAdd{"a", items},
        BatchAdd{"a", {}},
        BatchSet{"b", items},
        MultiAdd{{series_items, 739'001}},
        MultiAdd{{std::span(series_items).subspan(3), 739'001}},
        MultiAdd{
            {std::span(series_items).first(1), 739'001}},  // in all so many that no prune_records has a key
        ResetCounter{"a", 3},
        ResetSeries{"a"},
        BatchReset{"a", keys},
        BatchReset{"a", {}},
        DeleteCounterRange{"a", largest, {0, max_day}},
        DeleteSeriesRange{"q\"\n", {5, 6}},
        BatchDeleteRange{"a", keys, {1, 2}},
        DeleteBefore{"a", 739'000},
        CompactSeries{"a"},
        CompactAll{},
        SaveCheckpoint{"source", "offset", "id"},
        SaveCheckpoint{"source", std::nullopt, ""},
        BeginStream{"stream", IngestMode::replace_series, "day"},
        BeginStream{"s", IngestMode::add, std::nullopt},
        AddChunk{"stream", "b", largest, items, fingerprint},
        AddChunk{"stream", "a", 1, {}, fingerprint},
        CommitStream{"stream"},
        AbortStream{"s"},
        PruneRecords{-5, std::nullopt},
        PruneRecords{std::numeric_limits<std::int64_t>::max(), largest},
        PruneRecords{7, 3, largest},
        PruneStreams{-5, 3, "stream", -7},
        PruneStreams{std::numeric_limits<std::int64_t>::max(), largest, "s", 1'795'208'099},
    };
    static const std::string key(256, 'k');
    std::vector<Event> events;
    for (const Fact& body : bodies) {
        const std::string_view with_key = events.size() % 3 == 1 ? std::string_view(key) : "";
        events.push_back({events.size() + 100,
                          1'795'208'099'000 - static_cast<std::int64_t>(events.size()) * 3, body, with_key});
    }
    return events;
}

std::string encode(const std::vector<Event>& events) {
    EventGroupBuilder builder;
    for (const Event& event : events) {
        builder.add(event);
    }
    std::string bytes;
    builder.finish(bytes);
    return bytes;
}

/// Each event of a group encoded by itself: equal texts are equal events.
std::vector<std::string> decode(std::string_view bytes) {
    std::vector<std::string> events;
    read_event_group(bytes, [&](const Event& event) { events.push_back(encode({event})); });
    return events;
}

/// The payload of a group of one increment.
std::string payload_of(std::int64_t base_time_ms, std::int64_t delta_ms, std::string_view series) {
    std::string payload;
    Appender appender{payload};
    msgpack::packer<Appender> packer(appender);
    packer.pack_array(5);
    packer.pack(1);  // LSN
    packer.pack(base_time_ms);
    packer.pack(some_day);
    packer.pack(std::vector<std::string>{std::string(series)});
    packer.pack_array(1);
    packer.pack_array(6);
    packer.pack(3);  // increment
    packer.pack(delta_ms);
    for (const int field : {0, 7, 0, 1}) packer.pack(field);  // series, key, day, value
    return payload;
}

std::uint32_t count_of(std::string_view group) {
    return read_event_group(group, [](const Event&) {}).count;
}

}  // namespace

TEST_CASE("event codec: every kind of event comes back as it was") {
    const std::vector<Event> events = one_of_each();
    std::vector<std::string> expected;
    for (const Event& event : events) {
        expected.push_back(encode({event}));
    }
    CHECK(decode(encode(events)) == expected);
    for (const std::string& single : expected) {
        CHECK(decode(single) == std::vector<std::string>{single});
    }
    const EventGroupInfo info = read_event_group(encode(events), [](const Event&) {});
    CHECK(info.first_lsn == 100);
    CHECK(info.last_lsn() == 99 + events.size());
}

TEST_CASE("event codec: events that are picked out of groups stay as they were") {
    const std::vector<Event> events = one_of_each();
    const auto wanted = [](const Event& event) { return event.lsn % 3 != 1; };
    std::vector<std::string> expected;
    for (const Event& event : events) {
        if (wanted(event)) {
            expected.push_back(encode({event}));
        }
    }
    EventSelection picked;
    const auto pick = [&](std::string group) {
        CHECK(picked.pick(group, wanted) > group.size());
        CHECK(picked.pick(group, [](const Event&) { return false; }) == 0);
        std::ranges::fill(group, '\0');  // nothing of it is borrowed
    };
    // In two groups: the second one changes nothing of what was picked out of the first.
    const auto middle = events.begin() + static_cast<std::ptrdiff_t>(events.size() / 2);
    pick(encode({events.begin(), middle}));
    pick(encode({middle, events.end()}));
    std::vector<std::string> found;
    for (const Event& event : picked.events()) {
        found.push_back(encode({event}));
    }
    CHECK(found == expected);
}

TEST_CASE("event codec: fields are what was written") {
    const std::string bytes = encode({{7, 1'000, fact::Increment{"links", 42, 739'375, 9}, {}},
                                      {8, 1'250, fact::Decrement{"other", 1, 739'000, 2}, "key"}});
    std::vector<Event> seen;
    read_event_group(bytes, [&](const Event& event) {
        seen.push_back(event);
        CHECK(event.idempotency_key == (event.lsn == 7 ? "" : "key"));
        std::visit(
            [&](const auto& m) {
                if constexpr (requires { m.value; }) {
                    CHECK(m.series == (event.lsn == 7 ? "links" : "other"));
                    CHECK(m.key == (event.lsn == 7 ? 42 : 1));
                    CHECK(m.day == (event.lsn == 7 ? 739'375 : 739'000));
                    CHECK(m.value == (event.lsn == 7 ? 9 : 2));
                }
            },
            event.body);
    });
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].time_ms == 1'000);
    CHECK(seen[1].time_ms == 1'250);
    CHECK(std::holds_alternative<fact::Increment>(seen[0].body));
    CHECK(std::holds_alternative<fact::Decrement>(seen[1].body));
}

TEST_CASE("event codec: groups of version 1 are read, of versions to come refused") {
    std::string bytes = encode({{7, 1'000, fact::Increment{"links", 42, 739'375, 9}, {}}});
    REQUIRE(bytes[1] == 2);  // behind the head of the array; the checksum covers what follows it
    bytes[1] = 1;
    CHECK(read_event_group(bytes, [](const Event&) {}).count == 1);
    for (const char version : {'\0', '\3'}) {
        bytes[1] = version;
        CHECK_THROWS_AS(read_event_group(bytes, [](const Event&) {}), CorruptionError);
    }
}

TEST_CASE("event codec: any damage is seen and says so") {
    const std::string good = encode(one_of_each());
    for (std::size_t at = 0; at < good.size(); ++at) {
        CHECK_THROWS_AS(decode(std::string_view(good).substr(0, at)), CorruptionError);
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ static_cast<char>(1U << bit));
            CHECK_THROWS_AS(decode(bad), CorruptionError);
        }
    }
    CHECK_THROWS_AS(decode(good + "x"), CorruptionError);
}

TEST_CASE("event codec: damage that announces more than there is takes no memory for it") {
    // Arrays of 2^32-1 and of 2^28 elements, and one in the other.
    for (const std::string_view claim : {"\xdd\xff\xff\xff\xff", "\xdd\x10\0\0\0", "\x91\xdd\x10\0\0\0"}) {
        const std::string_view bytes(claim.data(), claim[0] == '\x91' ? 6 : 5);
        CHECK_THROWS_AS(count_of(bytes), CorruptionError);
        CHECK_THROWS_AS(count_of(group_of(bytes)), CorruptionError);
    }
}

TEST_CASE("event codec: times beyond the calendar, and series without a name, are damage") {
    constexpr std::int64_t year_9999 = 253'402'300'799'999;
    CHECK(count_of(group_of(payload_of(1'780'000'000'000, -5, "a"))) == 1);
    CHECK(count_of(group_of(payload_of(year_9999, 0, "a"))) == 1);
    constexpr auto latest = std::numeric_limits<std::int64_t>::max();
    constexpr auto earliest = std::numeric_limits<std::int64_t>::min();
    for (const auto& times : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {latest, 1}, {latest, 0}, {0, latest}, {earliest, -1}, {earliest, latest}, {year_9999, 1}}) {
        CAPTURE(times.first);
        CHECK_THROWS_AS(count_of(group_of(payload_of(times.first, times.second, "a"))), CorruptionError);
    }
    CHECK_THROWS_AS(count_of(group_of(payload_of(0, 0, ""))), CorruptionError);
}

TEST_CASE("event codec: a range that ends before it begins is damage") {
    EventGroupBuilder builder;
    std::string group;
    static constexpr std::uint64_t key = 1;
    for (const DayRange range : {DayRange{5, 6}, DayRange{6, 6}, DayRange{7, 6}}) {
        for (const Fact& body :
             std::vector<Fact>{fact::DeleteSeriesRange{"a", range}, fact::DeleteCounterRange{"a", key, range},
                               fact::BatchDeleteRange{"a", {&key, 1}, range}}) {
            builder.add({1, 0, body, {}});
            builder.finish(group);
            if (range.from <= range.to) {
                CHECK(count_of(group) == 1);
            } else {
                CHECK_THROWS_AS(count_of(group), CorruptionError);
            }
        }
    }
}

TEST_CASE("event codec: a builder can be used again, and groups are small") {
    EventGroupBuilder builder;
    std::string first;
    std::string second;
    for (std::string* const out : {&first, &second}) {
        for (Lsn lsn = 1; lsn <= 1'000; ++lsn) {
            builder.add({lsn, 1'795'208'099'000, fact::Increment{"links", lsn * 97, 739'375, 1}});
        }
        CHECK(builder.count() == 1'000);
        builder.finish(*out);
        CHECK(builder.empty());
    }
    CHECK(first == second);
    CHECK(first.size() < 1'000 * 20);
}

}  // namespace karma::test
