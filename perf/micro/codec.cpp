#include <string>

#include <benchmark/benchmark.h>

#include "engine/engine.h"
#include "engine/event_codec.h"

namespace {

using karma::Event;

constexpr karma::Day codec_day = 739'575;
constexpr std::uint32_t group_events = 1'000;

std::string group_of_increments(karma::Lsn first_lsn) {
    karma::EventGroupBuilder builder;
    for (std::uint32_t i = 0; i < group_events; ++i) {
        builder.add({first_lsn + i,
                     1'795'208'099'000,
                     karma::fact::Increment{"links", (std::uint64_t{i} * 7919) % 100'000, codec_day, 1},
                     {}});
    }
    std::string bytes;
    builder.finish(bytes);
    return bytes;
}

void encode_increments(benchmark::State& state) {
    std::size_t bytes = 0;
    for (auto _ : state) {
        bytes += group_of_increments(1).size();
    }
    const auto events = static_cast<std::int64_t>(state.iterations()) * group_events;
    state.SetItemsProcessed(events);
    state.counters["bytes/event"] = static_cast<double>(bytes) / static_cast<double>(events);
}
BENCHMARK(encode_increments);

/// What a restart does for each event: decode and apply.
void replay_increments(benchmark::State& state) {
    karma::NullSink sink;
    karma::Engine engine(1, sink);
    karma::Lsn lsn = 1;
    for (auto _ : state) {
        state.PauseTiming();
        const std::string group = group_of_increments(lsn);
        lsn += group_events;
        state.ResumeTiming();
        karma::read_event_group(group, [&](const Event& event) { engine.apply(event); });
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * group_events);
}
BENCHMARK(replay_increments);

}  // namespace
