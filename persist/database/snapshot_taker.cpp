#include "persist/database/snapshot_taker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/querier.h"
#include "persist/record_store.h"

namespace karma {

SnapshotTaker::SnapshotTaker(const DatabaseOptions& options, LiveState& live, Storage& storage,
                             SnapshotStore& snapshots, Failures& failures, Background& background)
    : options_(options),
      live_(live),
      storage_(storage),
      snapshots_(snapshots),
      failures_(failures),
      background_(background),
      last_snapshot_ms_(live.clock().steady_ms()) {}

Reply SnapshotTaker::store(const std::optional<std::string>& series, const Deadline& deadline) {
    try {
        Reply reply = try_to_store(series, deadline);
        failures_.set_snapshot_failure({});
        return reply;
    } catch (const RequestError&) {
        throw;  // given up, which says nothing of the storage
    } catch (const std::exception& failure) {
        failures_.set_snapshot_failure(failure.what());
        throw;
    }
}

Reply SnapshotTaker::try_to_store(const std::optional<std::string>& series, const Deadline& deadline) {
    const SnapshotStore::Saving saving = snapshots_.begin_saving();
    deadline.check();
    if (!live_.has_log()) {
        storage_.recover();  // nothing but snapshots is written: what has failed can be tried again
    }
    // Without a log only a snapshot of everything is a state to come back to: one of a single series would
    // be ahead of the others, and of the records of its requests.
    const bool is_full = !series || !live_.has_log();
    LiveState::MakingView making = live_.make_view();
    std::shared_ptr<ViewCollection> collection;
    StateView all;
    SeriesView one;
    Lsn lsn = 0;
    UnsavedRecords::Batch unsaved;
    {
        const std::lock_guard lock(live_.mutex());
        failures_.check_whole();
        lsn = live_.engine().last_lsn();
        const Series* const found = series ? live_.engine().find_series(*series) : nullptr;
        if (series && found == nullptr) {
            return series_not_found(*series);
        }
        if (is_full) {
            collection = live_.begin_view(making);
            unsaved = live_.unsaved().take();
        } else {
            one = found->view();
        }
    }
    if (collection) {
        try {
            all = live_.finish_view(making, std::move(collection));
        } catch (...) {
            const std::lock_guard lock(live_.mutex());
            live_.unsaved().put_back(std::move(unsaved));
            throw;
        }
    }
    making.unlock();
    if (!live_.wait_durable(lsn)) {
        return log_failed();
    }
    if (live_.has_log() && is_full) {
        snapshots_.save_all(saving, all, live_.now_ms(), {}, deadline);
    } else if (live_.has_log()) {
        snapshots_.save_series(saving, one, lsn, live_.now_ms(), deadline);
    } else {
        save_all_there_is(saving, std::move(all), std::move(unsaved), deadline);
    }
    return series ? Reply(reply::SnapshotSaved{*series}) : Reply(reply::Ok{});
}

/// Without a log: what a restart goes back to.
void SnapshotTaker::save_all_there_is(const SnapshotStore::Saving& saving, StateView view,
                                      UnsavedRecords::Batch unsaved, const Deadline& deadline) {
    // A load that is under way cannot go on after a restart.
    IngestStreams::View streams = view.of<IngestStreams>();
    std::erase_if(streams.open,
                  [](const StreamView& stream) { return stream.info.id.starts_with(load_stream_prefix); });
    view.components.set(IngestStreams::name, std::make_shared<const IngestStreams::View>(std::move(streams)));
    try {
        std::vector<RecordChange> changes = unsaved.changes();
        changes.push_back(first_record_change(view.of<IdempotencyIndex>().first_record_lsn));
        snapshots_.save_all(saving, view, live_.now_ms(), std::move(changes), deadline);
    } catch (...) {
        const std::lock_guard lock(live_.mutex());
        live_.unsaved().put_back(std::move(unsaved));
        throw;
    }
}

void SnapshotTaker::save(const Deadline& deadline) {
    live_.commit();
    try {
        throw_if_refused(store(std::nullopt, deadline));
    } catch (const RequestError&) {
        throw;
    } catch (const std::exception& failure) {
        throw RequestError(ErrorCode::internal_error, failure.what());
    }
}

bool SnapshotTaker::save_if_changed(const Deadline& deadline) {
    if (live_.last_lsn() <= snapshots_.last_full_lsn()) {
        return false;
    }
    save(deadline);
    return true;
}

void SnapshotTaker::save_when_due() {
    constexpr std::int64_t retry_ms = 10'000;
    const std::int64_t interval_ms = std::int64_t{options_.snapshot_interval_s} * 1000;
    const std::int64_t since_ms = live_.clock().steady_ms() - last_snapshot_ms_;
    const bool is_due = interval_ms != 0 && since_ms >= interval_ms;
    const bool is_to_be_retried = !failures_.snapshot_failure().empty() && since_ms >= retry_ms;
    if (!is_due && !is_to_be_retried) {
        return;
    }
    last_snapshot_ms_ = live_.clock().steady_ms();
    save_if_changed(UntilStopped(background_.is_winding_down()));
}

bool SnapshotTaker::has_verified_base() {
    const SnapshotStore::ManifestRef base = snapshots_.newest_full();
    if (base == nullptr || snapshots_.was_verified(base)) {
        return base != nullptr;
    }
    std::vector<std::string> damage;
    try {
        const auto kept = snapshots_.keep_all();
        damage = snapshots_.check_newest(UntilStopped(background_.is_winding_down()));
    } catch (const RequestError&) {
        return false;  // the database is being closed
    }
    if (damage.empty()) {
        return true;
    }
    failures_.report(
        "snapshot_check",
        damage.front() +
            ": a new snapshot is made from memory, and no events are dropped until one is sound");
    save(UntilStopped(background_.is_winding_down()));
    return false;
}

}  // namespace karma
