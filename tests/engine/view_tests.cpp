// Views whose series are collected while events are executed between.
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// Executes random mutations of few series, so that they are changed, dropped, made again and replaced.
class RandomMutations {
public:
    RandomMutations(Engine& engine, std::mt19937_64& random) : engine_(engine), random_(random) {}

    void execute_one() {
        const std::string name = draw(40) == 0 ? "" : "series " + std::to_string(draw(30));
        switch (draw(12)) {
            case 0: return execute(mutation::DropSeries{name});
            case 1: return execute(mutation::CompactAll{});
            case 2: return execute(mutation::ResetSeries{name});
            case 3: return replace(name);
            case 4: return execute(mutation::DeleteBefore{name, some_day});
            default: return execute(mutation::Increment{name, draw(50), some_day, 1 + draw(9)});
        }
    }

private:
    std::uint64_t draw(std::uint64_t below) { return random_() % below; }
    void execute(const Mutation& body) { engine_.execute(body, 1'777'000'000'000); }
    void replace(const std::string& name) {
        const std::string id = "stream " + std::to_string(++streams_);
        const std::vector<mutation::Item> items{{draw(5), some_day, 1 + draw(9)}};
        execute(mutation::BeginStream{id, IngestMode::replace_series, {}});
        execute(mutation::AddChunk{id, name, 1, items});
        execute(mutation::CommitStream{id});
    }

    Engine& engine_;
    std::mt19937_64& random_;
    int streams_ = 0;
};

void check_same(const StateView& view, const StateView& expected) {
    CHECK(view.lsn == expected.lsn);
    REQUIRE(view.series.size() == expected.series.size());
    for (std::size_t i = 0; i < view.series.size(); ++i) {
        REQUIRE(view.series[i].name() == expected.series[i].name());
        REQUIRE(view.series[i].lsn() == expected.series[i].lsn());
    }
    REQUIRE(view.digest(NoDeadline()) == expected.digest(NoDeadline()));
}

}  // namespace

TEST_CASE("views: what is collected while events are executed is the state as it was at the beginning") {
    std::mt19937_64 random = random_engine("collected views");
    NullSink sink;
    Engine engine(7, sink);
    RandomMutations mutations(engine, random);
    for (std::size_t round = 0; round < scaled(400); ++round) {
        CAPTURE(round);
        for (std::uint64_t i = random() % 20; i != 0; --i) mutations.execute_one();
        const StateView expected = engine.view();
        std::shared_ptr<ViewCollection> collection = engine.begin_view();
        const bool is_given_up = random() % 8 == 0;
        for (bool has_more = true; has_more;) {
            for (std::uint64_t i = random() % 15; i != 0; --i) mutations.execute_one();
            if (is_given_up) break;
            has_more = engine.collect_view(*collection, 1 + random() % 12);
        }
        if (!is_given_up) check_same(Engine::ordered(std::move(*collection)), expected);
        // Or it is held by nobody from here on, and costs nothing more.
        collection.reset();
        mutations.execute_one();
    }
}

}  // namespace karma::test
