// Ingest streams: each chunk once, in order, and a replaced series all at once.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "tests/engine/model.h"
#include "tests/engine/recorder.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

using Items = std::vector<mutation::Item>;

reply::StreamBegun begin(Engine& engine, std::string_view id, IngestMode mode) {
    return expect<reply::StreamBegun>(answer(engine, Mutation(mutation::BeginStream{id, mode, "day"})));
}

mutation::AddChunk chunk(std::string_view id, std::string_view series, std::uint64_t seq,
                         const Items& items) {
    return {id, series, seq, items};
}

reply::ChunkApplied add(Engine& engine, std::string_view id, std::string_view series, std::uint64_t seq,
                        const Items& items) {
    return expect<reply::ChunkApplied>(answer(engine, Mutation(chunk(id, series, seq, items))));
}

reply::ChunkSkipped skip(Engine& engine, std::string_view id, std::string_view series, std::uint64_t seq,
                         const Items& items) {
    const Lsn lsn = engine.last_lsn();
    auto skipped = expect<reply::ChunkSkipped>(answer(engine, Mutation(chunk(id, series, seq, items))));
    CHECK(engine.last_lsn() == lsn);
    return skipped;
}

reply::StreamEnded commit(Engine& engine, std::string_view id) {
    return expect<reply::StreamEnded>(answer(engine, Mutation(mutation::CommitStream{id})));
}

Digest digest(const Engine& engine) { return engine.view().digest(NoDeadline()); }

}  // namespace

TEST_CASE("ingest: chunks are applied once and in order") {
    Recorder log;
    Engine engine(1, log);
    CHECK(!begin(engine, "i", IngestMode::add).already_committed);
    CHECK(begin(engine, "i", IngestMode::add).last_chunk_seq == 0);  // again: no event
    CHECK(engine.last_lsn() == 1);
    check_refused(engine, mutation::BeginStream{"i", IngestMode::set, "day"},
                  ErrorCode::idempotency_conflict);
    check_refused(engine, mutation::BeginStream{"i", IngestMode::add, std::nullopt},
                  ErrorCode::idempotency_conflict);
    const Items first = {{1, some_day, 10}, {2, some_day, 20}};
    const Items second = {{1, some_day, 1}};
    check_refused(engine, chunk("i", "s", 2, second), ErrorCode::validation_error);  // a gap
    check_refused(engine, chunk("nope", "s", 1, second), ErrorCode::not_found);
    const auto applied = add(engine, "i", "s", 1, first);
    CHECK(applied.applied == 2);
    CHECK(applied.total == 30);
    CHECK(!skip(engine, "i", "s", 1, first).committed);
    check_refused(engine, chunk("i", "s", 1, second), ErrorCode::idempotency_conflict);
    check_refused(engine, chunk("i", "other", 2, second), ErrorCode::validation_error);
    check_refused(engine, chunk("i", "s", 3, second), ErrorCode::validation_error);
    const Items with_zero = {{1, some_day, 0}};
    check_refused(engine, chunk("i", "s", 2, with_zero), ErrorCode::validation_error);
    const Items too_much = {{1, some_day, largest}};
    check_refused(engine, chunk("i", "s", 2, too_much), ErrorCode::validation_error);
    add(engine, "i", "s", 2, second);
    CHECK(sum(engine, "s", 1) == 11);

    CHECK(commit(engine, "i").last_chunk_seq == 2);
    const auto again = expect<reply::StreamBegun>(answer(engine, Mutation(mutation::CommitStream{"i"})));
    CHECK(again.already_committed);
    CHECK(again.series == "s");
    CHECK(begin(engine, "i", IngestMode::add).already_committed);
    check_refused(engine, mutation::BeginStream{"i", IngestMode::set, "day"},
                  ErrorCode::idempotency_conflict);
    CHECK(skip(engine, "i", "s", 1, first).committed);
    check_refused(engine, chunk("i", "s", 1, second), ErrorCode::idempotency_conflict);
    check_refused(engine, chunk("i", "s", 3, second), ErrorCode::idempotency_conflict);
    check_refused(engine, mutation::AbortStream{"i"}, ErrorCode::not_found);
    CHECK(sum(engine, "s", 1) == 11);
    CHECK(engine.streams().open_count() == 0);
    CHECK(engine.streams().committed_count() == 1);
}

TEST_CASE("ingest: a refused first chunk binds the stream to nothing") {
    Recorder log;
    Engine engine(1, log);
    begin(engine, "i", IngestMode::add);
    const Items too_much = {{1, some_day, largest}, {1, some_day, 1}};
    check_refused(engine, chunk("i", "s", 1, too_much), ErrorCode::validation_error);
    const Items fine = {{1, some_day, 1}};
    add(engine, "i", "other", 1, fine);
    CHECK(engine.find_series("s") == nullptr);
}

TEST_CASE("ingest: mode set sets, and a replaced series appears all at once") {
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::Increment{"s", 1, some_day, 5}));
    answer(engine, Mutation(mutation::Increment{"s", 9, some_day, 9}));
    begin(engine, "set", IngestMode::set);
    const Items set = {{1, some_day, 3}, {9, some_day, 0}};
    CHECK(add(engine, "set", "s", 1, set).total == 3);
    CHECK(sum(engine, "s", 1) == 3);
    CHECK(sum(engine, "s", 9) == 0);
    commit(engine, "set");

    begin(engine, "r", IngestMode::replace_series);
    check_refused(engine, mutation::CommitStream{"r"}, ErrorCode::validation_error);
    const Items part = {{7, some_day, 70}, {8, some_day, 1}};
    const Items rest = {{7, some_day, 71}, {8, some_day, 0}, {6, some_day, largest}};
    add(engine, "r", "s", 1, part);
    CHECK(engine.key_count() == 2);  // what is staged is not there
    CHECK(sum(engine, "s", 1) == 3);
    answer(engine, Mutation(mutation::Increment{"s", 1, some_day, 100}));
    add(engine, "r", "s", 2, rest);
    const Items over = {{6, some_day + 1, 1}};
    check_refused(engine, chunk("r", "s", 3, over), ErrorCode::validation_error);
    CHECK(sum(engine, "s", 7) == 0);
    const SeriesView before = engine.find_series("s")->view();

    const Outcome committed = engine.execute(Mutation(mutation::CommitStream{"r"}), now_ms);
    CHECK(committed.wait_lsn == engine.last_lsn());
    CHECK(engine.find_series("s")->last_lsn() == engine.last_lsn());
    CHECK(engine.execute(query::Sum{"s", 7, std::nullopt}, now_ms).wait_lsn == engine.last_lsn());
    CHECK(sum(engine, "s", 7) == 71);
    CHECK(sum(engine, "s", 6) == largest);
    CHECK(sum(engine, "s", 1) == 0);
    CHECK(sum(engine, "s", 8) == 0);
    CHECK(before.find(1) != nullptr);  // who holds a view still sees the series that was
    // The old pages are handed out, to be destroyed where nobody waits.
    const std::vector<std::unique_ptr<Series>> deferred = engine.take_deferred();
    REQUIRE(deferred.size() == 1);
    CHECK(deferred[0]->total(1) == 103);
    CHECK(!engine.has_deferred());
}

TEST_CASE("ingest: an aborted stream is forgotten, with what it staged") {
    Recorder log;
    Engine engine(1, log);
    const Items items = {{1, some_day, 5}};
    begin(engine, "a", IngestMode::add);
    add(engine, "a", "s", 1, items);
    begin(engine, "r", IngestMode::replace_series);
    add(engine, "r", "staged", 1, items);
    for (const char* const id : {"a", "r"}) {
        const auto ended = expect<reply::StreamEnded>(answer(engine, Mutation(mutation::AbortStream{id})));
        CHECK(!ended.committed);
        CHECK(ended.last_chunk_seq == 1);
        check_refused(engine, mutation::AbortStream{id}, ErrorCode::not_found);
        check_refused(engine, mutation::CommitStream{id}, ErrorCode::not_found);
        check_refused(engine, chunk(id, "s", 1, items), ErrorCode::not_found);
    }
    CHECK(sum(engine, "s", 1) == 5);  // what add has applied stays
    CHECK(engine.find_series("staged") == nullptr);
    begin(engine, "a", IngestMode::add);
    add(engine, "a", "s", 1, items);  // the same chunk of another stream of that name
    CHECK(sum(engine, "s", 1) == 10);
}

TEST_CASE("ingest: a repeat waits for what it shows") {
    Recorder log;
    Engine engine(1, log);
    const Items items = {{1, some_day, 5}};
    begin(engine, "i", IngestMode::add);                                 // 1
    add(engine, "i", "s", 1, items);                                     // 2
    answer(engine, Mutation(mutation::Increment{"t", 1, some_day, 1}));  // 3
    const auto wait = [&](const Mutation& body) { return engine.execute(body, now_ms).wait_lsn; };
    CHECK(wait(mutation::BeginStream{"i", IngestMode::add, "day"}) == 2);
    CHECK(wait(chunk("i", "s", 1, items)) == 2);
    CHECK(wait(mutation::CommitStream{"nope"}) == 1);
    commit(engine, "i");  // 4
    answer(engine, Mutation(mutation::Increment{"t", 1, some_day, 1}));
    CHECK(wait(mutation::CommitStream{"i"}) == 4);
    CHECK(wait(chunk("i", "s", 1, items)) == 4);
    CHECK(wait(mutation::CommitStream{"nope"}) == 4);
}

TEST_CASE("ingest: not more than so many streams are open") {
    Recorder log;
    Engine engine(1, log);
    for (std::size_t i = 0; i < IngestStreams::open_max; ++i) {
        begin(engine, "s" + std::to_string(i), IngestMode::add);
    }
    check_refused(engine, mutation::BeginStream{"more", IngestMode::add, "day"}, ErrorCode::validation_error);
    begin(engine, "s5", IngestMode::add);
    commit(engine, "s5");
    begin(engine, "more", IngestMode::add);
}

TEST_CASE("ingest: the events make the same state again, staged series and streams included") {
    Recorder log;
    Engine engine(1, log);
    std::mt19937_64 random = test::random_engine("ingest replay");
    for (int step = 0; step < 2'000; ++step) {
        const std::string id = "i" + std::to_string(test::random_between(random, 0, 200));
        const std::string series = "s" + std::to_string(test::random_between(random, 0, 2));
        const auto mode = static_cast<IngestMode>(test::random_between(random, 0, 2));
        switch (test::random_between(random, 0, 12)) {
            case 0: answer(engine, Mutation(mutation::CommitStream{id})); break;
            case 1: answer(engine, Mutation(mutation::AbortStream{id})); break;
            case 2: answer(engine, Mutation(mutation::DropSeries{series})); break;
            case 3:
            case 4: answer(engine, Mutation(mutation::BeginStream{id, mode, "day"})); break;
            default: {
                Items items;
                for (std::uint64_t left = test::random_between(random, 0, 30); left > 0; --left) {
                    items.push_back({test::random_between(random, 0, 500), some_day,
                                     test::random_between(random, 1, 99)});
                }
                const IngestStreams::Stream* const stream = engine.streams().find(id);
                const std::uint64_t next = stream == nullptr ? 1 : stream->info.last_chunk_seq() + 1;
                const std::string bound = stream == nullptr ? series : stream->info.series.value_or(series);
                answer(engine, Mutation(chunk(id, bound, next, items)));
                break;
            }
        }
    }
    CHECK(engine.streams().open_count() > 0);
    CHECK(engine.streams().committed_count() > 0);
    Recorder unused;
    Engine again(77, unused);
    log.replay(again);
    CHECK(again.last_lsn() == engine.last_lsn());
    CHECK(digest(again) == digest(engine));
    CHECK(again.streams().open_count() == engine.streams().open_count());

    // The digest tells staged data apart.
    const Digest before = digest(engine);
    begin(engine, "one more", IngestMode::replace_series);
    const Digest begun = digest(engine);
    const Items items = {{1, some_day, 5}};
    add(engine, "one more", "s9", 1, items);
    CHECK(!(before == begun));
    CHECK(!(begun == digest(engine)));
}

TEST_CASE("ingest: committed streams are pruned from the one that was committed first on, and by an event") {
    Recorder log;
    Engine engine(1, log);
    constexpr std::int64_t begin_ms = 1'795'208'000'000;
    const Items items = {{1, some_day, 10}};
    const auto run = [&](const Mutation& body, std::int64_t time_ms) { engine.execute(body, time_ms); };
    for (const char* const id : {"d", "c", "b", "a", "open"}) {
        run(mutation::BeginStream{id, IngestMode::add, "day"}, begin_ms);
        run(chunk(id, "s", 1, items), begin_ms);
    }
    // Two of them in the same second.
    run(mutation::CommitStream{"c"}, begin_ms + 1'000);
    run(mutation::CommitStream{"b"}, begin_ms + 2'000);
    run(mutation::CommitStream{"d"}, begin_ms + 2'500);
    run(mutation::CommitStream{"a"}, begin_ms + 9'000);
    const auto prune = [&](std::int64_t before_unix, std::uint64_t limit) {
        const Mutation body = mutation::PruneStreams{before_unix, limit};
        return expect<reply::Pruned>(answer(engine, body)).deleted;
    };
    const auto holds = [&](const Engine& of) {
        std::string ids;
        for (const StreamInfo& stream : of.streams().committed_streams()) ids += stream.id;
        return ids;
    };
    const Lsn before = engine.last_lsn();
    CHECK(prune(begin_ms / 1000 + 1, 10) == 0);
    CHECK(engine.last_lsn() == before);  // no event
    CHECK(prune(begin_ms / 1000 + 9, 2) == 2);
    CHECK(engine.last_lsn() == before + 1);
    CHECK(holds(engine) == "ad");
    const Digest with_two = digest(engine);
    CHECK(prune(begin_ms / 1000 + 9, 10) == 1);
    CHECK(holds(engine) == "a");
    check_refused(engine, chunk("d", "s", 1, items), ErrorCode::not_found);
    CHECK(skip(engine, "a", "s", 1, items).committed);
    CHECK(engine.streams().open_count() == 1);
    CHECK(engine.streams().weight() == 2);

    Recorder unused;
    Engine again(77, unused);
    log.replay(again);
    CHECK(digest(again) == digest(engine));
    CHECK(holds(again) == "a");
    CHECK(!(digest(engine) == with_two));
    // Of one that has lost them already no others go.
    Engine poor(78, unused);
    for (const StreamInfo& stream : again.streams().committed_streams()) {
        poor.restore_stream(stream, nullptr);
    }
    poor.restore_last_lsn(before);
    poor.replicate({before + 1, begin_ms, fact::PruneStreams{begin_ms, 2, "b", begin_ms / 1000 + 2}, {}});
    CHECK(holds(poor) == "a");
    // The id of one that was pruned is free.
    CHECK(!begin(engine, "d", IngestMode::set).already_committed);
}

}  // namespace karma::test
