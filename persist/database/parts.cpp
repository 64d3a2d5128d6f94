#include "persist/database/parts.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/identity.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/random_number.h"
#include "persist/record_store.h"
#include "persist/restore.h"

namespace karma {
namespace {

DatabaseOptions with_defaults(DatabaseOptions options) {
    if (!options.random) {
        options.random = random_number;
    }
    return options;
}

/// What a follower has of its master lives by the master's limits.
IdempotencyRetention first_retention(const DatabaseOptions& options, const Storage& storage) {
    return options.read_only ? read_retention_told(storage).value_or(options.idempotency)
                             : options.idempotency;
}

/// Ends a restore that nobody wants any more.
class UntilGivenUp final : public Deadline {
public:
    explicit UntilGivenUp(const std::function<bool()>& gives_up) : gives_up_(gives_up) {}

protected:
    bool expired() const override { return is_cancelled(); }
    bool is_cancelled() const override { return gives_up_ && gives_up_(); }

private:
    const std::function<bool()>& gives_up_;
};

bool syncs(const DatabaseOptions& options, bool owns_storage) {
    return options.wal && options.wal_fsync && !(owns_storage && options.storage == StorageKind::memory);
}

}  // namespace

DatabaseParts::DatabaseParts(const DatabaseOptions& opening, std::unique_ptr<DataDirectory> in,
                             std::unique_ptr<Storage> owned, Storage& on)
    : options(with_defaults(opening)),
      directory(std::move(in)),
      owned_storage(std::move(owned)),
      storage(on),
      failures(options.on_failure),
      background(failures),
      live(options, storage, first_retention(options, storage), failures, node, background),
      snapshots(storage),
      files(snapshots, storage, directory.get(), options.snapshots_retained),
      notes(storage),
      history(options, live, storage, snapshots),
      taker(options, live, storage, snapshots, failures, background),
      mastership(options, live, node, storage, snapshots, failures, syncs(options, owned_storage != nullptr)),
      retention(options, live, node, storage, snapshots, history, taker, background),
      following(live, storage, failures),
      exchange({options, directory.get(), owned_storage.get(), storage, snapshots, live, node, failures,
                mastership, history, retention, files}),
      status({options, storage, snapshots, live, node, failures, mastership, files}),
      requests(*this),
      maintenance({options, directory.get(), storage, snapshots, live, failures, background, history, taker,
                   retention, files}) {
    const std::string discarded = exchange.discard_interrupted();
    snapshots.erase_leftovers();
    restore();
    restore_summary += discarded;
    restore_times();
    history.set_marks(read_marks(storage));
    mastership.begin_role();
    if (options.wal) {
        begin_log();
    }
    try {
        mastership.begin_identity();
        if (node.is_master()) {
            mastership.abort_own_loads();
        }
    } catch (const RequestError&) {
        if (!live.has_failed()) {
            throw;
        }
        // To requests it says that a restart is needed; this is one.
        throw StorageError("the event log cannot be written: " + live.failure());
    }
    if (options.threads) {
        background.start([this] { maintenance.begin(); }, [this] { maintenance.run(); });
    } else {
        maintenance.begin();
    }
}

DatabaseParts::~DatabaseParts() {
    background.wind_down();
    if (owned_storage) {
        owned_storage->end_maintenance();
    }
    background.stop();
    background.run("storing the age", [this] {
        if (!live.has_failed()) {
            maintenance.store_age();
        }
    });
    mastership.end_cleanly();
}

void DatabaseParts::restore() {
    constexpr Lsn any = std::numeric_limits<Lsn>::max();
    Engine& engine = live.engine();
    engine.restore_first_record_lsn(read_first_record_lsn(storage));
    Restored restored = restore_state(engine, storage, snapshots, UntilGivenUp(options.gives_up), {},
                                      options.restore_from.value_or(any));
    restore_warnings = std::move(restored.damaged);
    restore_summary = "restored " + std::to_string(engine.series_count()) + " series: snapshot at LSN " +
                      std::to_string(restored.snapshot_lsn) + ", then " + std::to_string(restored.events) +
                      " events; last LSN " + std::to_string(engine.last_lsn());
}

/// The time goes on where it ended.
void DatabaseParts::restore_times() {
    Engine& engine = live.engine();
    if (const auto base = read_meta_number(storage, base_time_key)) {
        engine.restore_last_event_ms(std::max(engine.last_event_ms(), static_cast<std::int64_t>(*base)));
    }
    const Lsn last_lsn = engine.last_lsn();
    storage.read_log(last_lsn, [&](const EventGroup& group) {
        read_group(group, [&](const Event& event) {
            if (event.lsn == last_lsn) {
                engine.restore_last_event_ms(event.time_ms);
            }
        });
        return false;
    });
    // After an import, or a time without a log, the last event is not there: a snapshot tells when it was.
    std::int64_t age_ms = live.now_ms();
    const std::vector<SnapshotStore::ManifestRef> manifests = snapshots.manifests();
    if (engine.last_event_ms() != std::numeric_limits<std::int64_t>::min()) {
        age_ms = engine.last_event_ms();
    } else if (!manifests.empty()) {
        age_ms = manifests.front()->created_ms;
    }
    if (const auto stored = read_meta_number(storage, age_key)) {
        age_ms = static_cast<std::int64_t>(*stored);
    }
    live.begin_age(age_ms);
}

void DatabaseParts::begin_log() {
    const Engine& engine = live.engine();
    if (engine.last_lsn() >= storage.next_lsn() && engine.last_lsn() > snapshots.last_full_lsn()) {
        // What was accepted without a log is in no log: the log can only go on after a snapshot of
        // everything.
        snapshots.save_all(snapshots.begin_saving(), engine.view(), live.now_ms());
    }
    skip_log_to(storage, engine.last_lsn() + 1);
    live.begin_log();
}

}  // namespace karma
