#include "persist/database/retention.h"

#include <algorithm>

#include "persist/log_search.h"
#include "persist/record_store.h"

namespace karma {
namespace {

/// As the newest snapshot of everything has it; 0 without one.
Lsn newest_first_record_lsn(const SnapshotStore& snapshots) {
    for (const SnapshotStore::ManifestRef& manifest : snapshots.manifests()) {
        if (manifest->full) {
            return manifest->of<IdempotencyIndex>().first_record_lsn;
        }
    }
    return 0;
}

}  // namespace

Retention::Retention(const DatabaseOptions& options, LiveState& live, NodeRole& node, Storage& storage,
                     SnapshotStore& snapshots, LogHistory& history, SnapshotTaker& taker,
                     Background& background)
    : options_(options),
      live_(live),
      node_(node),
      storage_(storage),
      snapshots_(snapshots),
      history_(history),
      taker_(taker),
      background_(background) {}

/// By the clock of ages: what a clock that is ahead makes old is not.
std::int64_t Retention::ages_now_ms() const {
    const LiveState::Lock lock = live_.lock();
    return live_.age_ms();
}

void Retention::apply() {
    const LogHistory::DroppingLock dropping = history_.lock_dropping();
    constexpr std::int64_t history_parts = 16;
    const Lsn first = options_.wal ? first_retained_lsn() : 1;
    const auto age_ms = static_cast<std::int64_t>(options_.event_retention_s) * 1000;
    snapshots_.set_retention({options_.snapshots_retained, first, age_ms / history_parts});
    snapshots_.prune(UntilStopped(background_.is_winding_down()));
    // What the oldest snapshot needs to reach the present is kept in any case.
    const std::optional<Lsn> oldest = snapshots_.oldest_full_lsn();
    if (!oldest || first <= 1) {
        return;
    }
    const Lsn keep_from = std::min({first, *oldest + 1, history_.first_pinned_lsn()});
    if (node_.holds_log()) {
        return;
    }
    if (keep_from > first_stored_lsn(storage_) && is_worth_erasing(keep_from) && taker_.has_verified_base()) {
        history_.mark_erased(keep_from);
        storage_.erase_log_below(keep_from);
    }
}

/// The first event that the options want kept; 1 for all.
Lsn Retention::first_retained_lsn() const {
    Lsn first = 1;
    if (options_.event_retention_s != 0) {
        const auto age_ms = static_cast<std::int64_t>(options_.event_retention_s) * 1000;
        first = std::max(first, first_lsn_from_time(storage_, ages_now_ms() - age_ms));
    }
    if (options_.event_retention_bytes != 0 && storage_.log_bytes() > options_.event_retention_bytes) {
        Lsn low = first;
        Lsn high = storage_.next_lsn();
        while (low < high) {
            const Lsn middle = low + (high - low) / 2;
            if (storage_.log_bytes_from(middle) > options_.event_retention_bytes) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        first = std::max(first, low);
    }
    return first;
}

/// Giving space back rewrites what lies beside it, so it is done for a part of the log at a time.
bool Retention::is_worth_erasing(Lsn keep_from) const {
    constexpr std::uint64_t parts = 16;
    const std::uint64_t bytes = storage_.log_bytes();
    const std::uint64_t kept = std::min(bytes, storage_.log_bytes_from(keep_from));
    return (bytes - kept) * parts >= bytes;
}

void Retention::forget_records() {
    constexpr std::size_t swept_at_once = 256;
    Lsn last_lsn = 0;
    std::uint64_t live = 0;
    Forgotten now;
    // No other state takes the place of this one between what is looked up and what is erased.
    const LogHistory::DroppingLock dropping = history_.lock_dropping();
    for (bool more = true; more;) {
        const std::lock_guard lock(live_.mutex());
        more = live_.engine().sweep_records(swept_at_once, live_.engine().last_event_ms());
        last_lsn = live_.engine().last_lsn();
        now = {live_.engine().idempotency().first_live_lsn(), live_.engine().idempotency().forgotten()};
        live = live_.engine().idempotency().size();
    }
    if (!live_.has_log()) {
        // A restart goes back to the newest snapshot, and to what was not forgotten by then.
        now.first_record_lsn = std::min(now.first_record_lsn, newest_first_record_lsn(snapshots_));
    }
    if (!live_.records_failure().empty() || !is_worth_erasing(now, live)) {
        return;
    }
    // A state that is being sent may be of a time before they were forgotten; one that is read from now on is
    // not.
    if (records_kept_.use_count() > 1) {
        return;
    }
    // What has made them go must not be taken back by a crash.
    if (!live_.wait_durable(last_lsn)) {
        return;
    }
    background_.run("erasing idempotency records", [&] {
        erase_records_below(storage_, now.first_record_lsn);
        erased_ = now;
        erased_ms_ = live_.clock().steady_ms();
    });
}

/// Each removal rewrites what lies beside it, so it is done seldom and for many: for a part of what is live,
/// at most once in an hour unless they are as many as that.
bool Retention::is_worth_erasing(const Forgotten& now, std::uint64_t live) const {
    constexpr std::uint64_t parts = 16;
    constexpr std::uint64_t many = 1'000'000;
    constexpr std::int64_t between_ms = 3'600'000;
    if (erased_ && now.first_record_lsn <= erased_->first_record_lsn) {
        return false;
    }
    if (!erased_) {
        return now.first_record_lsn != 0;  // those that an earlier run has left
    }
    const std::uint64_t forgotten = now.count - erased_->count;
    const bool has_waited = live_.clock().steady_ms() - erased_ms_ >= between_ms;
    return (has_waited && forgotten * parts >= live) || forgotten >= std::max(live, many);
}

}  // namespace karma
