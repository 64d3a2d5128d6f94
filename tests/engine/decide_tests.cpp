#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include "engine/decide.h"
#include "engine/fingerprinter.h"
#include "tests/engine/recorder.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

const Day today_then = day_from_unix_ms(now_ms);

using Decision = std::variant<Fact, Outcome>;

/// An engine, and decisions in its state.
class Decisions {
public:
    Engine& engine() { return engine_; }

    void has(const Mutation& command, std::int64_t time_ms = now_ms) {
        const Outcome outcome = engine_.execute(command, time_ms);
        REQUIRE(!std::holds_alternative<Error>(std::get<Reply>(outcome.result)));
    }

    /// A record of an idempotency key, created at a time.
    void has_key(const std::string& key, std::int64_t time_ms) {
        const Mutation body = mutation::Increment{"keyed", 1};
        const Outcome outcome = engine_.execute(KeyedMutation{&body, key, {}}, time_ms);
        REQUIRE(outcome.deduplication == Deduplication::first);
    }

    Decision decide(const Mutation& command, std::int64_t time_ms = now_ms) {
        const Lsn lsn = engine_.last_lsn();
        const Digest digest = engine_.view().digest(NoDeadline());
        const std::uint64_t records = engine_.idempotency().size();
        PreparedMutation prepared;
        const bool is_prepared = Preparer::concerns(command);
        if (is_prepared) {
            prepared = preparer_.prepare(command, engine_.hash_seed(), time_ms);
        }
        Fact fact;
        std::optional<Outcome> answer =
            karma::decide(engine_, command, is_prepared ? &prepared : nullptr, time_ms, memory_, fact);
        CHECK(engine_.last_lsn() == lsn);
        CHECK(engine_.view().digest(NoDeadline()) == digest);
        CHECK(engine_.idempotency().size() == records);
        return answer ? Decision(std::move(*answer)) : Decision(fact);
    }

    template <typename F>
    F fact(const Mutation& command, std::int64_t time_ms = now_ms) {
        const Decision decision = decide(command, time_ms);
        REQUIRE(std::holds_alternative<Fact>(decision));
        REQUIRE(std::holds_alternative<F>(std::get<Fact>(decision)));
        return std::get<F>(std::get<Fact>(decision));
    }

    Reply answer(const Mutation& command) {
        Decision decision = decide(command);
        REQUIRE(std::holds_alternative<Outcome>(decision));
        return std::get<Reply>(std::move(std::get<Outcome>(decision).result));
    }

private:
    Recorder log_;
    Engine engine_{1, log_};
    Preparer preparer_;
    FactMemory memory_;
};

/// What a follower says to a fact.
std::optional<std::string> refusal_of(Engine& engine, const Fact& fact) {
    const Lsn lsn = engine.last_lsn();
    const Digest digest = engine.view().digest(NoDeadline());
    try {
        engine.replicate({lsn + 1, now_ms, fact, {}});
    } catch (const RefusedEvent& refused) {
        CHECK(engine.last_lsn() == lsn);
        CHECK(engine.view().digest(NoDeadline()) == digest);
        return refused.what();
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("decide: a day that is left to the clock is in the fact") {
    Decisions state;
    const auto added = state.fact<fact::Increment>(mutation::Increment{"s", 7, today, 3, true});
    CHECK(added.series == "s");
    CHECK(added.key == 7);
    CHECK(added.day == today_then);
    CHECK(added.value == 3);
    CHECK(state.fact<fact::Increment>(mutation::Increment{"s", 7, some_day}).day == some_day);
    const auto taken = state.fact<fact::Decrement>(mutation::Decrement{"s", 8, today, 4});
    CHECK(taken.series == "s");
    CHECK(taken.key == 8);
    CHECK(taken.day == today_then);
    CHECK(taken.value == 4);
    // The day of the command's time, whatever the time of the event before it.
    state.has(mutation::CreateSeries{"s"}, now_ms + 86'400'000);
    CHECK(state.fact<fact::Increment>(mutation::Increment{"s", 7}).day == today_then);
}

TEST_CASE("decide: the items of a fact have days, and are those of the command") {
    Decisions state;
    const std::vector<mutation::SeriesItem> items = {{"a", 1}, {"b", 2, some_day, 5}, {"a", 3, today, 7}};
    const auto fact = state.fact<fact::MultiAdd>(mutation::MultiAdd{items});
    const std::vector<mutation::SeriesItem> expected = {
        {"a", 1, today_then, 1}, {"b", 2, some_day, 5}, {"a", 3, today_then, 7}};
    CHECK(std::vector<mutation::SeriesItem>(fact.items.begin(), fact.items.end()) == expected);
    REQUIRE(fact.items.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(fact.items[i] == expected[i]);
    }
    CHECK(names_series(fact, "b"));
    CHECK(!names_series(fact, "c"));
}

TEST_CASE("decide: a range that is relative to the clock is two days in the fact") {
    Decisions state;
    state.has(mutation::CreateSeries{"s"});
    const std::vector<std::uint64_t> keys = {1, 2};
    const DayRange last_30{today_then - 29, today_then};
    const Period period = *period_from_last("30d");
    const auto of_key = state.fact<fact::DeleteCounterRange>(mutation::DeleteCounterRange{"s", 5, period});
    CHECK(of_key.series == "s");
    CHECK(of_key.key == 5);
    CHECK(of_key.range == last_30);
    const auto of_series = state.fact<fact::DeleteSeriesRange>(mutation::DeleteSeriesRange{"s", period});
    CHECK(of_series.series == "s");
    CHECK(of_series.range == last_30);
    const auto of_keys = state.fact<fact::BatchDeleteRange>(mutation::BatchDeleteRange{"s", keys, period});
    CHECK(of_keys.series == "s");
    CHECK(of_keys.keys.data() == keys.data());
    CHECK(of_keys.keys.size() == keys.size());
    CHECK(of_keys.range == last_30);
    const Period yesterday = *period_from_name("yesterday");
    CHECK(state.fact<fact::DeleteSeriesRange>(mutation::DeleteSeriesRange{"s", yesterday}).range ==
          DayRange{today_then - 1, today_then - 1});
    CHECK(state.fact<fact::DeleteSeriesRange>(mutation::DeleteSeriesRange{"s", {3, 9}}).range ==
          DayRange{3, 9});
}

TEST_CASE("decide: the fact of a chunk has the fingerprint of its command") {
    Decisions state;
    const std::vector<mutation::Item> items = {{1, some_day, 10}};
    state.has(mutation::BeginStream{"stream", IngestMode::add, std::nullopt});
    const mutation::AddChunk command{"stream", "s", 1, items};
    const auto fact = state.fact<fact::AddChunk>(command);
    CHECK(fact.stream_id == "stream");
    CHECK(fact.series == "s");
    CHECK(fact.chunk_seq == 1);
    CHECK(fact.items.data() == items.data());
    CHECK(fact.fingerprint == Fingerprinter().of(Mutation(command), now_ms));
    state.has(command);
    CHECK(expect<reply::ChunkSkipped>(state.answer(command)).chunk_seq == 1);  // a repeat becomes no event
}

TEST_CASE("decide: which idempotency records a limit takes is in the fact") {
    Decisions state;
    constexpr std::int64_t second = 1'000;
    for (std::int64_t i = 0; i < 5; ++i) {
        state.has_key("key " + std::to_string(i), now_ms + i * second);  // LSN 1 to 5
    }
    const std::int64_t later_ms = now_ms + 100 * second;
    const std::int64_t all = later_ms / second;
    const auto below = [&](std::optional<std::uint64_t> limit, std::int64_t before_unix,
                           std::int64_t time_ms) {
        const auto fact = state.fact<fact::PruneRecords>(mutation::PruneRecords{before_unix, limit}, time_ms);
        CHECK(fact.before_unix == before_unix);
        CHECK(fact.limit == limit);
        return fact.below_lsn;
    };
    CHECK(below(2, all, later_ms) == 3);
    CHECK(below(2, now_ms / second + 1, later_ms) == 2);  // one is older than that
    CHECK(below(10, all, later_ms) == 6);
    CHECK(below(0, all, later_ms) == 1);
    CHECK(below(2, now_ms / second, later_ms) == 1);  // none is
    CHECK(below(std::nullopt, all, later_ms) == 0);
    // The limit counts those that are not too old when the event happens.
    state.engine().set_retention({1'000, 50});
    CHECK(below(2, all, now_ms + 52 * second) == 6);  // three of five are too old
    CHECK(below(1, all, now_ms + 52 * second) == 5);
    CHECK(below(0, all, now_ms + 52 * second) == 4);
    CHECK(below(7, all, now_ms + 99 * second) == 6);  // all are
    CHECK(state.engine().idempotency().size() == 5);  // and nothing was forgotten by asking
    const auto pruned =
        state.engine().execute(Mutation(mutation::PruneRecords{all, 1}), now_ms + 52 * second);
    CHECK(expect<reply::Pruned>(std::get<Reply>(pruned.result)).deleted == 1);
    CHECK(state.engine().idempotency().first_live_lsn() == 5);
}

TEST_CASE("decide: which ingest streams go is in the fact, and where none goes there is none") {
    Decisions state;
    for (const char* const id : {"b", "a", "c"}) {
        state.has(mutation::BeginStream{id, IngestMode::add, std::nullopt});
        state.has(mutation::CommitStream{id}, id == std::string("c") ? now_ms + 5'000 : now_ms);
    }
    const std::int64_t at = now_ms / 1000;
    const auto fact = state.fact<fact::PruneStreams>(mutation::PruneStreams{at + 1, 10});
    CHECK(fact.before_unix == at + 1);
    CHECK(fact.limit == 10);
    CHECK(fact.last_id == "b");
    CHECK(fact.last_unix == at);
    CHECK(state.fact<fact::PruneStreams>(mutation::PruneStreams{at + 1, 1}).last_id == "a");
    CHECK(state.fact<fact::PruneStreams>(mutation::PruneStreams{at + 9, 10}).last_unix == at + 5);
    CHECK(expect<reply::Pruned>(state.answer(mutation::PruneStreams{at, 10})).deleted == 0);
}

TEST_CASE("decide: a keyed command and its fact have one fingerprint") {
    using namespace mutation;
    Decisions state;
    state.has(CreateSeries{"s"});
    const std::vector<Item> items = {{1, some_day, 5}, {2, some_day, 6}};
    const std::vector<std::uint64_t> keys = {1, 2, 99};
    const std::vector<SeriesItem> series_items = {{"t", 1}, {"s", 2, some_day, 5}};
    Fingerprinter fingerprinter;
    for (const Mutation& command : std::vector<Mutation>{
             Increment{"s", 1}, Decrement{"s", 2, today, 4, true}, BatchAdd{"s", items}, BatchSet{"s", items},
             MultiAdd{series_items}, ResetCounter{"s", 3}, ResetSeries{"s"}, BatchReset{"s", keys},
             DeleteCounterRange{"s", 3, Period::last(7)}, DeleteSeriesRange{"s", Period::last(7)},
             BatchDeleteRange{"s", keys, Period::last(7)}, BeginStream{"stream", IngestMode::set, "day"}}) {
        CAPTURE(command.index());
        const Decision decision = state.decide(command);
        REQUIRE(std::holds_alternative<Fact>(decision));
        CHECK(fingerprinter.of(std::get<Fact>(decision)) == fingerprinter.of(command, now_ms));
        CHECK(operation_of(std::get<Fact>(decision)) == operation_of(command));
    }
}

TEST_CASE("decide: totals are of the reply, and no part of the fact") {
    Recorder with_log;
    Recorder without_log;
    Engine with(1, with_log);
    Engine without(1, without_log);
    for (const bool shows : {true, false}) {
        Engine& engine = shows ? with : without;
        answer(engine, Mutation(mutation::Increment{"s", 1, some_day, 5, shows}));
        const Reply reply = answer(engine, Mutation(mutation::Decrement{"s", 1, some_day, 2, shows}));
        CHECK(std::holds_alternative<reply::CounterTotals>(reply) == shows);
    }
    CHECK(with_log.groups() == without_log.groups());
}

TEST_CASE("replicate: a fact that the state refuses is refused, for the reason that the command gets") {
    using namespace mutation;
    Decisions state;
    const std::vector<Item> items = {{1, some_day, 1}};
    const std::vector<std::uint64_t> keys = {1};
    const std::vector<SeriesItem> series_items = {{"full", 1, some_day, 1}};
    state.has(Increment{"full", 1, some_day, largest});
    state.has(BeginStream{"open", IngestMode::replace_series, std::nullopt});
    state.has(StartEpoch{3, 1, 1});
    Fingerprinter fingerprinter;
    const Mutation chunk = AddChunk{"open", "s", 2, items};
    const Mutation unknown = AddChunk{"nowhere", "s", 1, items};
    struct Case {
        Mutation command;
        Fact fact;
    };
    const std::vector<Case> cases = {
        {Increment{"full", 1, some_day, 1}, fact::Increment{"full", 1, some_day, 1}},
        {BatchAdd{"full", items}, BatchAdd{"full", items}},
        {MultiAdd{series_items}, fact::MultiAdd{{series_items, some_day}}},
        {DropSeries{"nowhere"}, DropSeries{"nowhere"}},
        {BatchReset{"nowhere", keys}, BatchReset{"nowhere", keys}},
        {BatchDeleteRange{"nowhere", keys, {1, 2}}, fact::BatchDeleteRange{"nowhere", keys, {1, 2}}},
        {DeleteBefore{"nowhere", 5}, DeleteBefore{"nowhere", 5}},
        {CompactSeries{"nowhere"}, CompactSeries{"nowhere"}},
        {BeginStream{"open", IngestMode::set, std::nullopt},
         BeginStream{"open", IngestMode::set, std::nullopt}},
        {chunk, fact::AddChunk{"open", "s", 2, items, fingerprinter.of(chunk, now_ms)}},
        {unknown, fact::AddChunk{"nowhere", "s", 1, items, fingerprinter.of(unknown, now_ms)}},
        {CommitStream{"open"}, CommitStream{"open"}},
        {AbortStream{"nowhere"}, AbortStream{"nowhere"}},
        {LoadSeries{"nowhere"}, LoadSeries{"nowhere"}},
        {StartEpoch{3, 2, 2}, StartEpoch{3, 2, 2}},
    };
    for (const Case& one : cases) {
        CAPTURE(one.command.index());
        const auto refused = expect<Error>(state.answer(one.command));
        const std::optional<std::string> said = refusal_of(state.engine(), one.fact);
        REQUIRE(said.has_value());
        CHECK(said->find(refused.message) != std::string::npos);
    }
    // What is a repeat to a client is no fact of this history either.
    CHECK(refusal_of(state.engine(), BeginStream{"open", IngestMode::replace_series, std::nullopt}));
    CHECK(!refusal_of(state.engine(), fact::Increment{"full", 2, some_day, 1}));
}

TEST_CASE("replicate: the limits of this node are not those of the history") {
    Decisions state;
    state.has(mutation::CreateSeries{"one"});
    state.engine().set_series_max(1);
    state.engine().set_streams_max(1);
    state.has(mutation::BeginStream{"first", IngestMode::add, std::nullopt});
    const mutation::BeginStream second{"second", IngestMode::add, std::nullopt};
    CHECK(expect<Error>(state.answer(mutation::Increment{"two", 1})).code == ErrorCode::resource_exhausted);
    CHECK(expect<Error>(state.answer(second)).code == ErrorCode::resource_exhausted);
    CHECK(!refusal_of(state.engine(), fact::Increment{"two", 1, some_day, 1}));
    CHECK(!refusal_of(state.engine(), second));
    CHECK(state.engine().series_count() == 2);
}

}  // namespace karma::test
