#include "engine/series.h"

#include <cstdint>

#include <benchmark/benchmark.h>

#include "engine/scan.h"

namespace {

constexpr karma::Day first_day = 739'300;

/// A series with so many keys and days, values to 60,000.
karma::Series make_series(std::uint64_t keys, karma::Day days) {
    karma::Series series("links", 1);
    for (std::uint64_t key = 0; key < keys; ++key) {
        for (karma::Day day = 0; day < days; ++day) {
            series.add(key, first_day + day, (key * 31 + day * 977) % 60'000 + 1);
        }
    }
    return series;
}

/// Keys in an order that no cache foresees.
class Keys {
public:
    explicit Keys(std::uint64_t count) : count_(count) {}
    std::uint64_t next() { return karma::mix64(++drawn_) % count_; }

private:
    std::uint64_t count_;
    std::uint64_t drawn_ = 0;
};

void add_to_random_key(benchmark::State& state) {
    const auto keys = static_cast<std::uint64_t>(state.range(0));
    karma::Series series = make_series(keys, 1);
    Keys order(keys);
    for (auto _ : state) {
        series.add(order.next(), first_day, 1);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(add_to_random_key)->Arg(100)->Arg(100'000)->Arg(1'000'000);

void add_under_a_view(benchmark::State& state) {
    karma::Series series = make_series(100'000, 1);
    Keys order(100'000);
    karma::SeriesView view;
    std::uint64_t added = 0;
    for (auto _ : state) {
        if (added++ % 10'000 == 0) {
            view = series.view();  // every page is copied once again
        }
        series.add(order.next(), first_day, 1);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(add_under_a_view);

void sum_of_random_key(benchmark::State& state) {
    const karma::Series series = make_series(20'000, 356);
    Keys order(20'000);
    for (auto _ : state) {
        benchmark::DoNotOptimize(series.sum(order.next(), {first_day + 30, first_day + 120}));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(sum_of_random_key);

void summary_of_range(benchmark::State& state) {
    const karma::Series series = make_series(50'000, 356);
    const karma::NoDeadline never;
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            karma::scan_summary(series.view(), karma::DayRange{first_day, first_day + 200}, never));
    }
    state.counters["points"] = 50'000.0 * 356;
}
BENCHMARK(summary_of_range)->Unit(benchmark::kMillisecond);

}  // namespace
