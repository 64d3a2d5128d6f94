#include "persist/database/following.h"

#include <utility>
#include <vector>

#include "engine/event_codec.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"

namespace karma {
/// A master of an earlier version may give events of decreasing times. The first event of all tells from when
/// ages are measured.
void Following::note_order(const Event& event) {
    if (event.time_ms < live_.engine().last_event_ms()) {
        const RecordChange change = ordered_lsn_change(event.lsn);
        storage_.write(std::span(&change, 1), false);
    }
    if (live_.engine().last_lsn() == 0) {
        live_.begin_age(event.time_ms);
        const RecordChange change = live_.age_change();
        storage_.write(std::span(&change, 1), false);
    }
}

std::optional<StateView> Following::replicate(std::string_view group, std::optional<Lsn> view_at) {
    const LiveState::MakingView making = view_at ? live_.make_view() : LiveState::MakingView();
    std::shared_ptr<ViewCollection> seen;
    std::vector<std::unique_ptr<Series>> deferred;
    {
        const std::lock_guard lock(live_.mutex());
        failures_.check_whole();
        const auto look = [&] {
            if (view_at == live_.engine().last_lsn()) {
                seen = live_.begin_view(making);
            }
        };
        look();
        read_event_group(group, [&](const Event& event) {
            if (event.lsn > live_.engine().last_lsn()) {
                note_order(event);
                live_.replicate(event);
                look();
            }
        });
        deferred = live_.engine().take_deferred();
    }
    live_.destroy(std::move(deferred));
    return seen ? std::optional(live_.finish_view(making, std::move(seen))) : std::nullopt;
}

void Following::replicate(const Event& event) {
    std::vector<std::unique_ptr<Series>> deferred;
    {
        const std::lock_guard lock(live_.mutex());
        failures_.check_whole();
        note_order(event);
        live_.replicate(event);
        deferred = live_.engine().take_deferred();
    }
    live_.destroy(std::move(deferred));
}

}  // namespace karma
