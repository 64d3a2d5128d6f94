// What the tasks of requests are to the requests behind them.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

struct Case {
    Request request;
    bool makes_task = true;
    TaskKind kind = TaskKind::query;
};

// Of every request that a task may answer.
std::vector<Case> cases() {
    const HistoryPoint first = HistoryPoint::at_lsn(1);
    const DayRange range{some_day, some_day};
    static const std::vector<std::uint64_t> keys{1};
    return {
        {query::SeriesKeys{"s", 10, std::nullopt}},
        {query::SeriesTop{"s", 10, std::nullopt, std::nullopt}},
        {query::SeriesTop{"s", 10, std::nullopt, first}},
        {query::SeriesSummary{"s", range, std::nullopt}},
        {query::SeriesSummary{"s", std::nullopt, first}},
        {query::SeriesPoints{"s", range}},
        {query::Sum{"s", 1, std::nullopt, first}},
        {query::Points{"s", 1, range, first}},
        {query::BatchSum{"s", keys, std::nullopt, first}},
        {query::LogEntries{0, 10}},
        {query::Events{}},
        {query::VerifySnapshots{}, true, TaskKind::administration},
        {query::FetchSnapshot{"1_s.tree", 0, 0}, true, TaskKind::administration},
        {query::FetchRecords{}, true, TaskKind::administration},
        {query::BeginExport{}, true, TaskKind::administration},
        {query::FetchExport{"no export", "contents.json", 0, 1}, true, TaskKind::administration},
        {query::EndExport{"no export"}, false},
        {query::CompareDigests{}, true, TaskKind::administration},
        {control::SaveSnapshot{"s"}, true, TaskKind::administration},
        {control::SaveAllSnapshots{}, true, TaskKind::administration},
        {control::LoadSnapshot{"1_s.tree"}, true, TaskKind::administration},
        {control::Promote{}, true, TaskKind::control},
        {control::Promise{}, true, TaskKind::control},
        {control::ForgetFollower{}, true, TaskKind::control},
        {control::Fence{1, 1, {}}, true, TaskKind::control},
        {query::HistoryPositionAt{}, true, TaskKind::control},
        {query::Sum{"s", 1, std::nullopt, std::nullopt}, false},
        {query::SeriesInfo{"s"}, false},
        {query::Snapshots{}},
        {query::SnapshotInfo{}},
        {query::ReplicationStatus{}},
        {query::Stats{}},
        {query::Metrics{}},
        {query::ListSeries{}, false},
        {control::ReportReconciliation{}, false},
    };
}

}  // namespace

TEST_CASE("tasks: one that works when it runs ends its batch, one on what was fixed before does not") {
    MemoryStorage storage;
    const std::unique_ptr<Database> database = Database::open({}, storage);
    database->increment("s", 1, 1, some_day);
    database->increment("s", 1, 1, some_day);
    for (const Case& one : cases()) {
        CAPTURE(one.request.index());
        Outcome outcome;
        database->execute(std::span(&one.request, 1), std::span(&outcome, 1));
        const auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result);
        REQUIRE((task != nullptr) == one.makes_task);
        if (task != nullptr) {
            CHECK((*task)->kind() == one.kind);
        }
        CHECK(ends_batch(one.request) == (one.makes_task && one.kind != TaskKind::query));
    }
}

}  // namespace karma::test
