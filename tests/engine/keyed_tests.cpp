// Idempotency keys: what an engine does with requests that come again.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "tests/engine/recorder.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

Outcome send(Engine& engine, const Mutation& body, std::string_view key, std::int64_t at_ms = now_ms,
             std::string_view fingerprint = "") {
    return engine.execute(KeyedMutation{&body, key, fingerprint}, at_ms);
}

const Reply& reply_in(const Outcome& outcome) { return std::get<Reply>(outcome.result); }

ErrorCode refusal(const Outcome& outcome) {
    REQUIRE(std::holds_alternative<Error>(reply_in(outcome)));
    CHECK(outcome.deduplication == Deduplication::no_key);
    return std::get<Error>(reply_in(outcome)).code;
}

/// The numbers of a response, as a record keeps them.
std::vector<std::uint64_t> numbers(const Outcome& outcome) {
    IdempotencyRecord record;
    set_response(record, reply_in(outcome));
    return {record.response.begin(), record.response.begin() + record.response_size};
}

}  // namespace

TEST_CASE("keyed: each of the eleven commands is done once and answered the same again") {
    using namespace mutation;
    Recorder log;
    Engine engine(1, log);
    const std::vector<Item> items = {
        {1, some_day, 5}, {2, some_day, 6}, {3, some_day, largest}, {4, some_day, largest}};
    const std::vector<std::uint64_t> keys = {1, 2, 99};
    const std::vector<SeriesItem> series_items = {{"t", 1}, {"s", 2, some_day, 5}, {"t", 1, today, 7}};
    const std::vector<Mutation> bodies = {
        BatchAdd{"s", items},
        BatchSet{"s", items},
        Increment{"s", 1, some_day, 3},
        Decrement{"s", 2, some_day, 4},
        BatchDeleteRange{"s", keys, {some_day - 1, some_day}},
        BatchAdd{"s", std::span(items).first(2)},
        BatchReset{"s", keys},
        DeleteCounterRange{"s", 3, {0, some_day - 1}},
        DeleteSeriesRange{"s", {0, some_day - 1}},
        ResetCounter{"s", 3},
        ResetSeries{"s"},
        MultiAdd{series_items},
    };
    std::vector<Outcome> first;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
        first.push_back(send(engine, bodies[i], "key" + std::to_string(i)));
        CHECK(first.back().deduplication == Deduplication::first);
        CHECK(first.back().wait_lsn == i + 1);
        CHECK(send(engine, bodies[i], "key" + std::to_string(i)).deduplication == Deduplication::repeat);
        CHECK(engine.last_lsn() == i + 1);
    }
    const Digest digest = engine.view().digest(NoDeadline());
    const Lsn last_lsn = engine.last_lsn();
    for (std::size_t i = 0; i < bodies.size(); ++i) {
        CAPTURE(i);
        const Outcome again = send(engine, bodies[i], "key" + std::to_string(i));
        CHECK(again.deduplication == Deduplication::repeat);
        CHECK(reply_in(again).index() == reply_in(first[i]).index());
        CHECK(numbers(again) == numbers(first[i]));
        CHECK(again.wait_lsn == first[i].wait_lsn);  // the first one may not be durable yet
    }
    CHECK(engine.last_lsn() == last_lsn);
    CHECK(engine.view().digest(NoDeadline()) == digest);
}

TEST_CASE("keyed: a key with another payload is a conflict, and a failed request does not take its key") {
    using namespace mutation;
    Recorder log;
    Engine engine(1, log);
    send(engine, Increment{"s", 1, some_day, 3}, "k");
    const std::vector<Item> items = {{1, some_day, 3}};
    for (const Mutation& other :
         {Mutation(Increment{"s", 1, some_day, 4}), Mutation(Increment{"s", 2, some_day, 3}),
          Mutation(Increment{"s", 1, some_day + 1, 3}), Mutation(Increment{"t", 1, some_day, 3}),
          Mutation(Decrement{"s", 1, some_day, 3}), Mutation(BatchAdd{"s", items}),
          Mutation(ResetSeries{"s"})}) {
        const Outcome outcome = send(engine, other, "k");
        CHECK(refusal(outcome) == ErrorCode::idempotency_conflict);
        CHECK(outcome.wait_lsn == 1);  // it shows that the first one was accepted
    }
    CHECK(sum(engine, "s", 1) == 3);
    CHECK(engine.last_lsn() == 1);

    CHECK(refusal(send(engine, Increment{"s", 1, some_day, largest}, "fresh")) ==
          ErrorCode::validation_error);
    CHECK(refusal(send(engine, BatchReset{"nowhere", {}}, "fresh")) == ErrorCode::not_found);
    CHECK(send(engine, Increment{"s", 1, some_day, 1}, "fresh").deduplication == Deduplication::first);
    CHECK(sum(engine, "s", 1) == 4);
}

TEST_CASE("keyed: a repeat that asks for totals gets those of now, and counts nothing") {
    Recorder log;
    Engine engine(1, log);
    const Mutation plain = mutation::Increment{"s", 1, some_day, 3};
    const Mutation body = mutation::Increment{"s", 1, some_day, 3, true};
    const auto totals = [](const Outcome& outcome) {
        const auto& r = std::get<reply::CounterTotals>(reply_in(outcome));
        return std::vector<std::uint64_t>{r.value, r.bucket_total, r.key_total};
    };
    CHECK(totals(send(engine, body, "k")) == std::vector<std::uint64_t>{3, 3, 3});
    answer(engine, Mutation(mutation::Increment{"s", 1, some_day, 10}));
    answer(engine, Mutation(mutation::Increment{"s", 1, some_day - 1, 100}));
    const Outcome again = send(engine, body, "k");
    CHECK(again.deduplication == Deduplication::repeat);
    CHECK(totals(again) == std::vector<std::uint64_t>{3, 13, 113});
    CHECK(again.wait_lsn == 3);  // they show what the last event did
    // What the reply is to have is no part of the request.
    CHECK(send(engine, plain, "k").deduplication == Deduplication::repeat);
    answer(engine, Mutation(mutation::DropSeries{"s"}));
    CHECK(totals(send(engine, body, "k")) == std::vector<std::uint64_t>{3, 0, 0});
    CHECK(engine.last_lsn() == 4);
}

TEST_CASE("keyed: the client's own fingerprint is an assertion") {
    Recorder log;
    Engine engine(1, log);
    const Mutation body = mutation::Increment{"links", 1, *day_from_yyyymmdd(20260505), 1};
    const std::string right = "2c103b0b35365e8ea4f8c663ec1c99a816fdbbf01cc28eeb32ae3b46ed75928f";
    CHECK(refusal(send(engine, body, "fp", now_ms, "wrong")) == ErrorCode::idempotency_conflict);
    CHECK(send(engine, body, "fp", now_ms, right).deduplication == Deduplication::first);
    CHECK(refusal(send(engine, body, "fp", now_ms, "wrong")) == ErrorCode::idempotency_conflict);
    CHECK(send(engine, body, "fp", now_ms, right).deduplication == Deduplication::repeat);
    CHECK(sum(engine, "links", 1) == 1);
}

TEST_CASE("keyed: a request without a day has that of its first execution") {
    Recorder log;
    Engine engine(1, log);
    const Mutation body = mutation::Increment{"s", 1, today, 1};
    send(engine, body, "k");
    CHECK(send(engine, body, "k").deduplication == Deduplication::repeat);
    // On the next day it asks for something else.
    CHECK(refusal(send(engine, body, "k", now_ms + 86'400'000)) == ErrorCode::idempotency_conflict);
    CHECK(sum(engine, "s", 1) == 1);
}

TEST_CASE("keyed: a key lives as long as the retention says") {
    const Mutation body = mutation::Increment{"s", 1, some_day, 1};
    SUBCASE("by age") {
        Recorder log;
        Engine engine(1, log, {1'000, 60});
        send(engine, body, "k");
        CHECK(send(engine, body, "k", now_ms + 59'000).deduplication == Deduplication::repeat);
        CHECK(send(engine, body, "k", now_ms + 60'000).deduplication == Deduplication::first);
        CHECK(send(engine, body, "k", now_ms + 61'000).deduplication == Deduplication::repeat);
        CHECK(engine.idempotency().size() == 2);
        engine.sweep_records(10, now_ms + 61'000);
        CHECK(engine.idempotency().size() == 1);
    }
    SUBCASE("by count") {
        Recorder log;
        Engine engine(1, log, {2, 0});
        for (const char* const key : {"a", "b", "c"}) {
            send(engine, body, key);
        }
        CHECK(send(engine, body, "b").deduplication == Deduplication::repeat);
        CHECK(send(engine, body, "a").deduplication == Deduplication::first);
    }
    SUBCASE("until it is pruned, which is an event") {
        Recorder log;
        Engine engine(1, log, {1'000, 0});
        for (int i = 0; i < 10; ++i) {
            send(engine, body, "k" + std::to_string(i), now_ms + i * 1'000);
        }
        const auto prune = [&](std::int64_t before, std::optional<std::uint64_t> limit) {
            return expect<reply::Pruned>(
                       test::answer(engine, Mutation(mutation::PruneRecords{before, limit}), now_ms + 9'000))
                .deleted;
        };
        CHECK(prune(now_ms / 1000, std::nullopt) == 0);
        CHECK(prune(now_ms / 1000 + 5, 2) == 2);
        CHECK(prune(now_ms / 1000 + 5, std::nullopt) == 3);
        CHECK(engine.last_lsn() == 13);
        CHECK(send(engine, body, "k5", now_ms + 9'000).deduplication == Deduplication::repeat);
        CHECK(send(engine, body, "k4", now_ms + 9'000).deduplication == Deduplication::first);
    }
}

TEST_CASE("keyed: a limit of what is pruned takes the same records on each node, whatever is too old there") {
    constexpr std::int64_t age_max_s = 60;
    Recorder of_master;
    Recorder of_follower;
    Engine master(1, of_master, {1'000, age_max_s});
    Engine follower(2, of_follower, {1'000, age_max_s});
    const mutation::Increment body{"s", 1, some_day, 1};
    const std::int64_t later_ms = now_ms + (age_max_s + 1) * 1'000;
    const std::int64_t ahead = later_ms;
    const std::int64_t behind = now_ms;  // as after a time at which no daemon ran
    bool is_old_on_master = false;
    SUBCASE("on the follower") { is_old_on_master = false; }
    SUBCASE("on the master") { is_old_on_master = true; }
    master.limit_age(is_old_on_master ? ahead : behind);
    follower.limit_age(is_old_on_master ? behind : ahead);
    send(master, body, "old");
    send(master, body, "young", later_ms);
    send(master, body, "youngest", later_ms);
    test::answer(master, Mutation(mutation::PruneRecords{later_ms / 1000 + 1, 1}), later_ms);
    of_master.replicate(follower);
    for (const std::string key : {"old", "young", "youngest"}) {
        INFO(key);
        const bool is_known = send(master, body, key, later_ms).deduplication == Deduplication::repeat;
        CHECK((send(follower, body, key, later_ms).deduplication == Deduplication::repeat) == is_known);
    }
}

TEST_CASE("keyed: what follows from an event comes with it") {
    /// Keeps what it was told of.
    class Listener final : public EventSink {
    public:
        void accept(const Event& event, const EventRecords& records) override {
            CHECK((records.idempotency != nullptr) == !event.idempotency_key.empty());
            if (records.idempotency != nullptr) {
                CHECK(records.idempotency->lsn == event.lsn);
                CHECK(records.idempotency->key == event.idempotency_key);
                CHECK(records.idempotency->created_at_unix == now_ms / 1000);
                append_record(*records.idempotency, bytes);
            }
            if (records.first_record_lsn) {
                first_record_lsn = *records.first_record_lsn;
            }
        }
        std::string bytes;
        Lsn first_record_lsn = 0;
    };
    Listener log;
    Engine engine(5, log);
    const std::vector<std::uint64_t> keys = {1, 2};
    send(engine, mutation::Increment{"s", 1, some_day, 7}, "a");
    engine.execute(Mutation(mutation::Increment{"s", 1, some_day, 7}), now_ms);
    send(engine, mutation::BatchReset{"s", keys}, "b");
    CHECK(log.first_record_lsn == 0);
    engine.execute(Mutation(mutation::PruneRecords{now_ms / 1000 + 1, 1}), now_ms);
    CHECK(log.first_record_lsn == 2);

    // Another engine with another seed, from the records alone.
    Recorder unused;
    Engine restored(99, unused);
    read_records(log.bytes, [&](const IdempotencyRecord& record) { restored.restore_record(record); });
    restored.restore_last_lsn(4);
    const Outcome again = send(restored, mutation::BatchReset{"s", keys}, "b");
    CHECK(again.deduplication == Deduplication::repeat);
    CHECK(numbers(again) == std::vector<std::uint64_t>{1, 1});
    CHECK(again.wait_lsn == 3);
    CHECK(refusal(send(restored, mutation::Increment{"s", 1, some_day, 8}, "a")) ==
          ErrorCode::idempotency_conflict);
}

}  // namespace karma::test
