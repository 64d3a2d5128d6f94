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

/// Draws mutations and carries them out on an engine and a model.
class EngineWalk {
public:
    EngineWalk(Engine& engine, std::string_view purpose)
        : engine_(engine), random_(test::random_engine(purpose)) {}

    void step() {
        name_ = "s" + std::to_string(draw(0, 2));
        switch (draw(0, 29)) {
            case 0: drop(); break;
            case 1: reset(); break;
            case 2: batch_reset(); break;
            case 3: delete_range(); break;
            case 4: batch_delete_range(); break;
            case 5: delete_before(); break;
            case 6: compact(); break;
            case 7:
            case 8:
            case 9: batch(false); break;
            case 10:
            case 11: batch(true); break;
            case 12:
            case 13: decrement(); break;
            case 14:
            case 15: multi_add(); break;
            default: increment(); break;
        }
    }

    void check() const {
        const StateView view = engine_.view();
        REQUIRE(view.series.size() == model_.series.size());
        for (const SeriesView& series : view.series) {
            REQUIRE(test::contents(series) == model_.series.at(series.name()));
            REQUIRE(series.totals() == test::totals(model_.series.at(series.name())));
        }
    }

private:
    std::uint64_t draw(std::uint64_t low, std::uint64_t high) { return random_between(random_, low, high); }
    std::uint64_t key() { return draw(0, 60); }
    Day day() { return static_cast<Day>(739'000 + draw(0, 40)); }
    DayRange range() {
        const Day from = day();
        return {from, from + static_cast<Day>(draw(0, 20))};
    }
    bool exists() const { return model_.series.contains(name_); }
    Model::Keys& keys() { return model_.series[name_]; }

    void increment() {
        const mutation::Increment m{name_, key(), day(), draw(1, 1'000), draw(0, 3) == 0};
        const Reply reply = answer(engine_, Mutation(m));
        keys()[m.key][m.day] += m.value;
        check_counted(reply, m);
    }

    template <typename Body>
    void check_counted(const Reply& reply, const Body& m) {
        if (!m.shows_totals) {
            CHECK(expect<reply::Number>(reply).value == m.value);
            return;
        }
        std::uint64_t total = 0;
        for (const auto& bucket : keys()[m.key]) {
            total += bucket.second;
        }
        const auto totals = expect<reply::CounterTotals>(reply);
        CHECK(totals.value == m.value);
        CHECK(totals.bucket_total == (keys()[m.key].contains(m.day) ? keys()[m.key][m.day] : 0));
        CHECK(totals.key_total == total);
    }

    void decrement() {
        const mutation::Decrement m{name_, key(), day(), draw(1, 1'000), draw(0, 3) == 0};
        const Reply reply = answer(engine_, Mutation(m));
        Model::Buckets& buckets = keys()[m.key];
        const std::uint64_t old = buckets.contains(m.day) ? buckets[m.day] : 0;
        buckets.erase(m.day);
        if (old > m.value) {
            buckets[m.day] = old - m.value;
        }
        check_counted(reply, m);
    }

    void multi_add() {
        std::vector<std::string> names;
        std::vector<mutation::SeriesItem> items;
        for (std::uint64_t left = draw(1, 12); left > 0; --left) {
            names.push_back("s" + std::to_string(draw(0, 2)));
        }
        for (const std::string& name : names) {
            const Day at = draw(0, 3) == 0 ? today : day();
            items.push_back({name, key(), at, draw(1, 300)});
        }
        const Reply reply = answer(engine_, Mutation(mutation::MultiAdd{items}));
        CHECK(expect<reply::Applied>(reply).applied == items.size());
        for (const mutation::SeriesItem& item : items) {
            const Day at = item.day == today ? day_from_unix_ms(now_ms) : item.day;
            model_.series[std::string(item.series)][item.key][at] += item.value;
        }
    }

    void batch(bool set) {
        std::vector<mutation::Item> items;
        Uint128 total = 0;
        for (std::uint64_t left = draw(0, 20); left > 0; --left) {
            items.push_back({key(), day(), draw(set ? 0 : 1, 300)});
            total += items.back().value;
        }
        if (set) {
            CHECK(
                expect<reply::Applied>(answer(engine_, Mutation(mutation::BatchSet{name_, items}))).applied ==
                items.size());
            for (const mutation::Item& item : items) {
                Model::Buckets& buckets = keys()[item.key];
                buckets.erase(item.day);
                if (item.value != 0) {
                    buckets[item.day] = item.value;
                }
            }
        } else {
            const auto added =
                expect<reply::Added>(answer(engine_, Mutation(mutation::BatchAdd{name_, items})));
            CHECK(added.applied == items.size());
            CHECK(added.total == total);
            Model::Keys& all = keys();
            for (const mutation::Item& item : items) {
                all[item.key][item.day] += item.value;
            }
        }
    }

    void drop() {
        const Reply reply = answer(engine_, Mutation(mutation::DropSeries{name_}));
        CHECK(std::holds_alternative<Error>(reply) == !exists());
        model_.series.erase(name_);
    }

    void reset() {
        if (draw(0, 3) == 0) {
            answer(engine_, Mutation(mutation::ResetSeries{name_}));
            for (auto& entry : keys()) {
                entry.second.clear();
            }
        } else {
            const std::uint64_t k = key();
            answer(engine_, Mutation(mutation::ResetCounter{name_, k}));
            if (const auto found = keys().find(k); found != keys().end()) {
                found->second.clear();
            }
        }
    }

    std::vector<std::uint64_t> some_keys() {
        std::vector<std::uint64_t> some;
        for (std::uint64_t left = draw(1, 8); left > 0; --left) {
            some.push_back(key());
        }
        return some;
    }

    void batch_reset() {
        const std::vector<std::uint64_t> some = some_keys();
        const Reply reply = answer(engine_, Mutation(mutation::BatchReset{name_, some}));
        if (!exists()) {
            CHECK(expect<Error>(reply).code == ErrorCode::not_found);
            return;
        }
        reply::BatchResetDone expected;
        for (const std::uint64_t k : some) {
            const auto found = keys().find(k);
            const bool any = found != keys().end() && !found->second.empty();
            ++(any ? expected.reset : expected.missing);
            if (any) {
                found->second.clear();
            }
        }
        CHECK(expect<reply::BatchResetDone>(reply).reset == expected.reset);
        CHECK(expect<reply::BatchResetDone>(reply).missing == expected.missing);
    }

    void delete_range() {
        const DayRange r = range();
        if (draw(0, 3) == 0) {
            answer(engine_, Mutation(mutation::DeleteSeriesRange{name_, r}));
            for (auto& entry : keys()) {
                Model::erase(entry.second, r);
            }
        } else {
            const std::uint64_t k = key();
            answer(engine_, Mutation(mutation::DeleteCounterRange{name_, k, r}));
            if (const auto found = keys().find(k); found != keys().end()) {
                Model::erase(found->second, r);
            }
        }
    }

    void batch_delete_range() {
        const std::vector<std::uint64_t> some = some_keys();
        const DayRange r = range();
        const Reply reply = answer(engine_, Mutation(mutation::BatchDeleteRange{name_, some, r}));
        if (!exists()) {
            CHECK(expect<Error>(reply).code == ErrorCode::not_found);
            return;
        }
        std::uint64_t deleted = 0;
        for (const std::uint64_t k : some) {
            if (const auto found = keys().find(k);
                found != keys().end() && Model::erase(found->second, r) != 0) {
                ++deleted;
            }
        }
        CHECK(expect<reply::BatchDeleted>(reply).deleted == deleted);
    }

    void delete_before() {
        const Day before = day();
        const Reply reply = answer(engine_, Mutation(mutation::DeleteBefore{name_, before}));
        CHECK(std::holds_alternative<Error>(reply) == !exists());
        if (exists()) {
            for (auto& entry : keys()) {
                Model::erase(entry.second, {0, before - 1});
            }
            drop_empty(keys());
        }
    }

    void compact() {
        if (draw(0, 2) == 0) {
            answer(engine_, Mutation(mutation::CompactAll{}));
            for (auto& entry : model_.series) {
                drop_empty(entry.second);
            }
        } else if (!std::holds_alternative<Error>(
                       answer(engine_, Mutation(mutation::CompactSeries{name_})))) {
            drop_empty(keys());
        }
    }

    static void drop_empty(Model::Keys& keys) {
        std::erase_if(keys, [](const auto& entry) { return entry.second.empty(); });
    }

    Engine& engine_;
    std::mt19937_64 random_;
    Model model_;
    std::string name_;
};

}  // namespace

TEST_CASE("engine: agrees with the model, and its events make the same state again") {
    Recorder log;
    Engine engine(1, log);
    EngineWalk walk(engine, "engine");
    for (std::size_t i = 0; i < test::scaled(20'000); ++i) {
        walk.step();
        if (i % 2'000 == 0) {
            walk.check();
            std::uint64_t keys = 0;
            for (const SeriesView& series : engine.view().series) {
                keys += series.totals().keys;
            }
            CHECK(engine.key_count() == keys);
        }
    }
    walk.check();
    Recorder unused;
    Engine again(987'654, unused);
    log.replay(again);
    CHECK(again.last_lsn() == engine.last_lsn());
    CHECK(again.key_count() == engine.key_count());
    CHECK(again.view().digest(NoDeadline()) == engine.view().digest(NoDeadline()));
}

TEST_CASE("engine: a sum past 2^64-1 is refused and leaves nothing behind") {
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::Increment{"s", 1, 100, largest - 10}));
    check_refused(engine, mutation::Increment{"s", 1, 100, 11}, ErrorCode::validation_error);
    check_refused(engine, mutation::Increment{"s", 1, 101, 11}, ErrorCode::validation_error);
    const std::vector<mutation::Item> over = {{2, 100, 5}, {1, 101, 6}, {1, 102, 5}};
    check_refused(engine, mutation::BatchAdd{"s", over}, ErrorCode::validation_error);
    const std::vector<mutation::Item> set_over = {{1, 101, 11}};
    check_refused(engine, mutation::BatchSet{"s", set_over}, ErrorCode::validation_error);
    const std::vector<mutation::Item> new_over = {{7, 1, largest}, {7, 2, 1}};
    check_refused(engine, mutation::BatchAdd{"new", new_over}, ErrorCode::validation_error);
    check_refused(engine, mutation::BatchSet{"new", new_over}, ErrorCode::validation_error);

    const std::vector<mutation::Item> exactly = {{2, 100, 5}, {1, 101, 5}, {1, 102, 5}};
    CHECK(expect<reply::Added>(answer(engine, Mutation(mutation::BatchAdd{"s", exactly}))).total == 15);
    CHECK(sum(engine, "s", 1) == largest);
    CHECK(expect<reply::Number>(answer(engine, Mutation(mutation::Increment{"s", 3, 100, largest}))).value ==
          largest);
    CHECK(expect<reply::Info>(answer(engine, query::SeriesInfo{"s"})).totals.total ==
          Uint128{largest} * 2 + 5);
}

TEST_CASE("engine: multi_add adds all of it or none, whatever series it makes") {
    Recorder log;
    Engine engine(1, log);
    using mutation::SeriesItem;
    const auto add = [&](const std::vector<SeriesItem>& items) {
        const Reply reply = answer(engine, Mutation(mutation::MultiAdd{items}));
        const auto* const refused = std::get_if<Error>(&reply);
        return refused == nullptr ? std::string() : refused->message;
    };
    CHECK(add({{"a", 1, 5, largest}, {"b", 1, 5, 1}}).empty());
    CHECK(engine.key_count() == 2);
    const Lsn lsn = engine.last_lsn();
    for (const std::vector<SeriesItem>& items : {std::vector<SeriesItem>{{"c", 1, 5, 1}, {"a", 1, 6, 1}},
                                                 {{"c", 1, 5, largest}, {"b", 2, 5, 1}, {"c", 1, 6, 1}},
                                                 {{"b", 1, 6, largest}}}) {
        CHECK(add(items).starts_with("Field value is too large: the sum of key 1 "));
    }
    CHECK(engine.last_lsn() == lsn);
    CHECK(engine.find_series("c") == nullptr);
    CHECK(engine.find_series("b")->total(1) == 1);
    CHECK(add({{"c", 1, 5, largest}, {"c", 2, 6, 1}, {"d", 1, 5, largest}}).empty());
    CHECK(engine.key_count() == 5);

    engine.set_series_max(5);
    CHECK(add({{"a", 2, 5, 1}, {"e", 1, 5, 1}, {"e", 2, 5, 1}}).empty());
    CHECK(add({{"a", 2, 5, 1}, {"f", 1, 5, 1}}).starts_with("Tree \"f\" would be a new one"));
    engine.set_series_max(7);
    CHECK(add({{"f", 2, 5, 1}, {"g", 1, 5, 1}, {"h", 1, 5, 1}}).starts_with("Tree \"h\" would be a new one"));
    CHECK(engine.series_count() == 5);
    CHECK(add({{"f", 2, 5, 1}, {"g", 1, 5, 1}, {"a", 7, 5, 1}}).empty());

    Recorder unused;
    Engine later(1, unused);
    log.replay(later);
    CHECK(later.view().digest(NoDeadline()) == engine.view().digest(NoDeadline()));
    CHECK(later.key_count() == engine.key_count());
}

TEST_CASE("engine: batch_set counts what is there in the end, not what was on the way") {
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::Increment{"s", 1, 100, largest}));
    const std::vector<mutation::Item> swapped = {{1, 101, 1}, {1, 102, largest - 1}, {1, 100, 0}};
    CHECK(std::holds_alternative<reply::Applied>(answer(engine, Mutation(mutation::BatchSet{"s", swapped}))));
    CHECK(sum(engine, "s", 1) == largest);
    const std::vector<mutation::Item> last_wins = {
        {1, 102, largest}, {1, 101, largest}, {1, 101, 0}, {1, 102, 3}};
    CHECK(
        std::holds_alternative<reply::Applied>(answer(engine, Mutation(mutation::BatchSet{"s", last_wins}))));
    CHECK(sum(engine, "s", 1) == 3);
}

TEST_CASE("engine: a batch whose sum wraps to exactly 0 on the way keeps its buckets") {
    constexpr std::uint64_t half = std::uint64_t{1} << 63U;
    const std::vector<mutation::Item> wraps = {{1, 1, half - 1}, {1, 2, half}, {1, 3, 1}, {1, 1, 0}};
    const Model::Keys expected = {{1, {{2, half}, {3, 1}}}};
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::BatchSet{"batch", wraps}));
    for (const IngestMode mode : {IngestMode::set, IngestMode::replace_series}) {
        const std::string name(ingest_mode_name(mode));
        answer(engine, Mutation(mutation::BeginStream{name, mode, std::nullopt}));
        answer(engine, Mutation(mutation::AddChunk{name, name, 1, wraps}));
        answer(engine, Mutation(mutation::CommitStream{name}));
    }
    CHECK(engine.view().series.size() == 3);
    for (const SeriesView& series : engine.view().series) {
        CAPTURE(series.name());
        CHECK(contents(series) == expected);
        CHECK(series.totals() == totals(expected));
        CHECK(sum(engine, series.name(), 1) == half + 1);
        const auto pages = series.pages();
        CHECK_NOTHROW(Series::from_pages("again", {pages.begin(), pages.end()}, series.totals(), 1));
    }
}

TEST_CASE("engine: batches of extreme values that name buckets twice agree with the model") {
    std::mt19937_64 random = random_engine("extreme batches");
    const auto draw = [&](std::uint64_t low, std::uint64_t high) {
        return random_between(random, low, high);
    };
    constexpr std::uint64_t half = std::uint64_t{1} << 63U;
    constexpr std::uint64_t values[] = {0,      0,        1,    2,        255,         256,
                                        65'536, half - 1, half, half + 1, largest - 1, largest};
    constexpr Day days[] = {0, 1, 2, 3, 4, 70'000, 739'000, max_day};
    Recorder log;
    Engine engine(1, log);
    Model::Keys model;
    std::size_t applied = 0;
    for (std::size_t round = 0; round < scaled(20'000); ++round) {
        std::vector<mutation::Item> items;
        Model::Keys after = model;
        for (std::uint64_t left = draw(1, 12); left > 0; --left) {
            const mutation::Item item{draw(1, 3), days[draw(0, std::size(days) - 1)],
                                      values[draw(0, std::size(values) - 1)]};
            items.push_back(item);
            Model::Buckets& buckets = after[item.key];
            if (item.value == 0) {
                buckets.erase(item.day);
            } else {
                buckets[item.day] = item.value;
            }
        }
        bool fits = true;
        for (const auto& [key, buckets] : after) {
            Uint128 total = 0;
            for (const auto& bucket : buckets) {
                total += bucket.second;
            }
            fits = fits && total <= largest;
        }
        const Reply reply = answer(engine, Mutation(mutation::BatchSet{"s", items}));
        REQUIRE(std::holds_alternative<Error>(reply) == !fits);
        if (fits) {
            model = std::move(after);
            ++applied;
            const SeriesView view = engine.view().series.front();
            REQUIRE(contents(view) == model);
            REQUIRE(view.totals() == totals(model));
        }
    }
    CHECK(applied > 0);
}

TEST_CASE("engine: what needs a series refuses without one, what does not creates it") {
    Recorder log;
    Engine engine(1, log);
    check_refused(engine, mutation::DropSeries{"s"}, ErrorCode::not_found);
    check_refused(engine, mutation::BatchReset{"s", {}}, ErrorCode::not_found);
    check_refused(engine, mutation::BatchDeleteRange{"s", {}, {}}, ErrorCode::not_found);
    check_refused(engine, mutation::DeleteBefore{"s", 1}, ErrorCode::not_found);
    check_refused(engine, mutation::CompactSeries{"s"}, ErrorCode::not_found);
    answer(engine, Mutation(mutation::BatchSet{"empty", {}}));
    CHECK(engine.series_count() == 0);
    answer(engine, Mutation(mutation::BatchAdd{"a", {}}));
    answer(engine, Mutation(mutation::ResetCounter{"b", 1}));
    answer(engine, Mutation(mutation::ResetSeries{"c"}));
    answer(engine, Mutation(mutation::DeleteCounterRange{"d", 1, {}}));
    CHECK(expect<reply::SeriesNames>(answer(engine, query::ListSeries{})).names ==
          std::vector<std::string>{"a", "b", "c", "d"});
    CHECK(engine.key_count() == 0);
}

TEST_CASE("engine: an event has its day, from the clock that was handed in") {
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::Increment{"s", 1, today, 4}));
    const Day expected = day_from_unix_ms(now_ms);
    CHECK(engine.find_series("s")->value(1, expected) == 4);
    Recorder unused;
    Engine later(1, unused);
    log.replay(later);  // on whatever day
    CHECK(later.find_series("s")->value(1, expected) == 4);
}

TEST_CASE("engine: a period ends or begins on the day of the request, and an event has its days") {
    constexpr std::int64_t day_ms = 86'400'000;
    Recorder log;
    Engine engine(1, log);
    const Day day = day_from_unix_ms(now_ms);
    for (Day before = 0; before < 10; ++before) {
        answer(engine, Mutation(mutation::Increment{"s", 1, day - before, std::uint64_t{1} << before}));
    }
    const Period last = Period::last(3);
    const auto ask = [&](const Request& request, std::int64_t at_ms) {
        return std::get<Reply>(engine.execute(request, at_ms).result);
    };
    CHECK(expect<reply::Number>(ask(query::Sum{"s", 1, last}, now_ms)).value == 0b111);
    CHECK(expect<reply::Number>(ask(query::Sum{"s", 1, last}, now_ms + day_ms)).value == 0b11);
    CHECK(expect<reply::Number>(ask(query::Sum{"s", 1, last}, now_ms - day_ms)).value == 0b1110);
    CHECK(expect<reply::PointList>(ask(query::Points{"s", 1, last}, now_ms)).points.size() == 3);
    const std::vector<std::uint64_t> keys = {1, 2};
    CHECK(expect<reply::Sums>(ask(query::BatchSum{"s", keys, last}, now_ms)).items.front().value == 0b111);
    const std::vector<query::SeriesKey> items = {{"s", 1}};
    CHECK(expect<reply::NamedSums>(ask(query::MultiSum{items, last}, now_ms)).items.front().value == 0b111);

    ask(Mutation(mutation::DeleteCounterRange{"s", 1, last}), now_ms);
    CHECK(engine.find_series("s")->total(1) == 0b1111111000);
    Recorder unused;
    Engine later(1, unused);
    log.replay(later);  // on whatever day
    CHECK(later.find_series("s")->total(1) == 0b1111111000);
}

TEST_CASE("engine: a reply waits for the event that it shows, and for no other") {
    Recorder log;
    Engine engine(1, log);
    const auto wait = [&](const Request& request) { return engine.execute(request, now_ms).wait_lsn; };
    CHECK(wait(query::Sum{"a", 1, std::nullopt}) == 0);
    CHECK(wait(Mutation(mutation::Increment{"a", 1, 5, 1})) == 1);
    CHECK(wait(Mutation(mutation::Increment{"b", 1, 5, 1})) == 2);
    CHECK(wait(query::Sum{"a", 1, std::nullopt}) == 1);
    CHECK(wait(query::SeriesTop{"b", 1, std::nullopt}) == 2);
    CHECK(wait(query::ListSeries{}) == 2);
    CHECK(wait(Mutation(mutation::Increment{"a", 1, 5, 1})) == 3);
    CHECK(wait(query::ListSeries{}) == 2);
    CHECK(wait(Mutation(mutation::DropSeries{"b"})) == 4);
    CHECK(wait(query::Sum{"b", 1, std::nullopt}) == 4);
    CHECK(wait(Mutation(mutation::DropSeries{"b"})) == 4);                // refused: it shows that b is gone
    CHECK(wait(Mutation(mutation::Increment{"a", 1, 5, largest})) == 3);  // refused: it shows what a holds
}

TEST_CASE("engine: recovery checkpoints are kept by source, up to a limit") {
    Recorder log;
    Engine engine(1, log);
    answer(engine, Mutation(mutation::SaveCheckpoint{"queue", "77", std::nullopt}));
    answer(engine, Mutation(mutation::SaveCheckpoint{"aaa", std::nullopt, "5"}));
    answer(engine, Mutation(mutation::SaveCheckpoint{"queue", "78", std::nullopt}));
    const auto all = expect<reply::Checkpoints>(answer(engine, query::Checkpoints{})).checkpoints;
    REQUIRE(all.size() == 2);
    CHECK(all[0].source == "aaa");
    CHECK(all[1].offset == "78");
    CHECK(all[1].updated_at_unix == now_ms / 1000);
    for (std::size_t i = 0; i + 2 < Checkpoints::sources_max; ++i) {
        const std::string source = "s" + std::to_string(i);
        answer(engine, Mutation(mutation::SaveCheckpoint{source, "1", std::nullopt}));
    }
    check_refused(engine, mutation::SaveCheckpoint{"one more", "1", std::nullopt},
                  ErrorCode::validation_error);
    CHECK(std::holds_alternative<reply::Checkpoint>(
        answer(engine, Mutation(mutation::SaveCheckpoint{"queue", "79", std::nullopt}))));
}

}  // namespace karma::test
