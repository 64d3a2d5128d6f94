#include "tests/simulation/noise.h"

#include <boost/json/array.hpp>

#include "tests/support/json.h"

namespace karma::test {
namespace {

std::uint64_t any_day(Scheduler& scheduler) { return 20260500 + scheduler.between(1, 28); }

json::array any_items(Scheduler& scheduler) {
    json::array items;
    for (std::uint64_t left = scheduler.between(1, 20); left > 0; --left) {
        items.push_back(
            json::array{scheduler.between(1, 40), any_day(scheduler), scheduler.between(0, 100'000)});
    }
    return items;
}

std::string any_series(Scheduler& scheduler) { return "noise-" + std::to_string(scheduler.between(1, 2)); }
std::string any_stream(Scheduler& scheduler) { return "stream-" + std::to_string(scheduler.between(1, 4)); }

Noise of_stream(Scheduler& scheduler) {
    json::object fields{{"stream_id", any_stream(scheduler)}};
    switch (scheduler.between(0, 5)) {
        case 0:
            fields["mode"] = scheduler.one_in(2) ? "add" : "replace_series";
            return {"ingest.begin", fields};
        case 1: return {"ingest.commit", fields};
        case 2: return {"ingest.abort", fields};
        default:
            fields["series"] = any_series(scheduler);
            fields["chunk_seq"] = scheduler.between(1, 3);
            fields["items"] = any_items(scheduler);
            return {"ingest.chunk", fields};
    }
}

}  // namespace

Noise make_noise(Scheduler& scheduler) {
    json::object fields{{"series", any_series(scheduler)}};
    switch (scheduler.between(0, 11)) {
        case 0: return {"tree.drop", fields};
        case 1: return {"tree.reset", fields};
        case 2: fields["before"] = any_day(scheduler); return {"series.delete_before", fields};
        case 3: fields["key"] = scheduler.between(1, 40); return {"counter.reset", fields};
        case 4:
            return {"recovery.checkpoint",
                    {{"source", "queue-" + std::to_string(scheduler.between(1, 3))},
                     {"offset", std::to_string(scheduler.between(1, 1'000))}}};
        case 5:
        case 6:
        case 7: return of_stream(scheduler);
        case 8: fields["items"] = any_items(scheduler); return {"series.batch_set", fields};
        default: fields["items"] = any_items(scheduler); return {"series.batch_add", fields};
    }
}

}  // namespace karma::test
