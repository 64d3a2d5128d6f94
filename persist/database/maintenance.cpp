#include "persist/database/maintenance.h"

#include <exception>
#include <span>
#include <string>

#include "persist/log_search.h"
#include "persist/record_store.h"

namespace karma {

Maintenance::Maintenance(const Uses& uses)
    : uses_(uses),
      last_retention_ms_(uses.live.clock().steady_ms() - retention_interval_ms),
      last_age_ms_(uses.live.clock().steady_ms()) {}

void Maintenance::load_records() {
    std::string failure;
    try {
        read_idempotency_records(uses_.storage, [this](std::span<const IdempotencyRecord> records) {
            const std::lock_guard lock(uses_.live.mutex());
            for (const IdempotencyRecord& record : records) {
                uses_.live.engine().restore_record(record);
            }
            return !uses_.background.is_stopping();
        });
    } catch (const std::exception& caught) {
        failure = caught.what();
    }
    uses_.live.set_has_records(failure);
}

void Maintenance::begin() {
    load_records();
    if (uses_.background.is_winding_down()) {
        return;
    }
    // Of databases that earlier versions have written; nobody waits for it.
    uses_.background.run("tidying storage", [this] { uses_.storage.tidy(); });
    uses_.background.run("looking for the beginning of the event log", [this] {
        const auto kept = uses_.snapshots.keep_state();
        ensure_unbroken_lsn(uses_.storage);
    });
    uses_.background.run("looking for steps of the clock in the event log", [this] { find_order(); });
}

void Maintenance::run() {
    check_directory();
    check_storage();
    follow_clock();
    if (uses_.background.is_winding_down()) {
        return;
    }
    uses_.retention.forget_records();
    uses_.background.run("snapshot", [this] { uses_.taker.save_when_due(); });
    if (const std::int64_t now = uses_.live.clock().steady_ms();
        now - last_retention_ms_ >= retention_interval_ms) {
        last_retention_ms_ = now;
        // A sync of its own, beside those of the log.
        uses_.background.run("mark", [this] { uses_.storage.store_durable_position(); });
        uses_.background.run("retention", [this] { uses_.retention.apply(); });
    }
    uses_.background.run("retention",
                         [this] { uses_.snapshots.prune(UntilStopped(uses_.background.is_winding_down())); });
    // Before somebody waits for it.
    uses_.background.run("listing snapshots", [this] { uses_.files.catalog.get()->count(); });
    uses_.files.drop_idle();
}

/// A note or a record that could not be written is told to who wanted it, and no event can be written after
/// that either. A node that writes none meanwhile must not seem well until it does.
void Maintenance::check_storage() {
    if (!uses_.live.has_log() || uses_.live.committer()->has_failed() || !uses_.storage.refuses_writes()) {
        return;
    }
    const std::lock_guard lock(uses_.live.mutex());
    uses_.live.committer()->fail("the storage refuses to write after a write to its tables has failed");
}

/// What goes into files that nobody finds again is not durable: nothing is accepted any more. A directory
/// that became read-only is told of only: what the open files take is durable.
void Maintenance::check_directory() {
    if (uses_.directory == nullptr || uses_.options.storage != StorageKind::rocksdb ||
        uses_.failures.is_directory_lost()) {
        return;
    }
    const std::string loss = uses_.directory->loss();
    const std::string refusal = loss.empty() ? uses_.directory->write_refusal() : std::string();
    const bool is_new = uses_.failures.note_directory(loss, refusal);
    if (!loss.empty()) {
        uses_.live.notify();  // who waits for the log waits in vain
    }
    if (is_new) {
        uses_.failures.report("data_directory", loss.empty() ? refusal : loss);
    }
}

void Maintenance::follow_clock() {
    for (const std::string& message : uses_.live.clock().follow()) {
        if (uses_.options.on_warning) {
            uses_.options.on_warning("clock_step", message);
        }
    }
    const DatabaseClock::Reading reading = uses_.live.clock().read();
    {
        // What a step back takes from it is not given back by the step ahead that follows.
        const std::lock_guard lock(uses_.live.mutex());
        uses_.live.age().begin(uses_.live.age().at(reading), reading.steady_ms);
        uses_.live.engine().limit_age(uses_.live.age().at(reading));
    }
    constexpr std::int64_t between_ms = 60'000;
    if (reading.steady_ms - last_age_ms_ >= between_ms) {
        last_age_ms_ = reading.steady_ms;
        uses_.background.run("storing the age", [this] { store_age(); });
    }
}

void Maintenance::store_age() {
    const LogHistory::DroppingLock dropping = uses_.history.lock_dropping();
    RecordChange change;
    {
        const std::lock_guard lock(uses_.live.mutex());
        if (uses_.live.engine().last_lsn() == 0 || uses_.failures.is_half_installed()) {
            return;
        }
        change = uses_.live.age_change();
    }
    uses_.storage.write(std::span(&change, 1), false);
}

/// Once in the life of a database: see read_ordered_lsn.
void Maintenance::find_order() {
    const auto kept = uses_.snapshots.keep_state();
    if (has_ordered_lsn(uses_.storage)) {
        return;
    }
    const Lsn ordered = find_ordered_lsn(uses_.storage, UntilStopped(uses_.background.is_winding_down()));
    const std::lock_guard lock(uses_.live.mutex());
    if (!has_ordered_lsn(uses_.storage)) {
        const RecordChange change = ordered_lsn_change(ordered);
        uses_.storage.write(std::span(&change, 1), false);
    }
}

}  // namespace karma
