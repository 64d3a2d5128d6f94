#include "persist/database/state_exchange.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "persist/hash_seed.h"
#include "persist/identity.h"
#include "persist/karma1/state.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/record_store.h"
#include "persist/rocksdb_storage.h"
#include "persist/storage_copy.h"

namespace karma {
namespace {

bool tells_last_event(const Engine& engine) {
    return engine.last_event_ms() != std::numeric_limits<std::int64_t>::min();
}

bool tells_age(const ReceivedState& received) {
    return received.age_ms > 0 || tells_last_event(received.engine);
}

/// Of a version that tells no age it is the time of the last event.
std::int64_t age_of(const ReceivedState& received) {
    return received.age_ms > 0 ? received.age_ms : received.engine.last_event_ms();
}

}  // namespace

std::string StateExchange::discard_interrupted() {
    if (!uses_.storage.read(Table::meta, installing_key)) {
        return {};
    }
    if (!uses_.options.read_only) {
        throw StorageError(
            "this database was being filled from its master and is not whole: start it with --role=slave, "
            "which begins anew, or with --restore=false, which puts it aside");
    }
    std::vector<RecordChange> kept = records_of_node(uses_.storage);
    kept.push_back(hash_seed_change(uses_.live.hash_seed()));
    uses_.storage.clear(kept);
    uses_.snapshots.forget_all(uses_.snapshots.exclude_readers());
    return "; a copy of a master's state that was cut short was removed";
}

std::unique_ptr<StateReader> StateExchange::read(LogPin& pin) {
    LiveState::MakingView making = uses_.live.make_view();
    std::shared_ptr<ViewCollection> collection;
    StateTimes times;
    std::shared_ptr<const void> kept = uses_.retention.keep_records();  // before the view
    {
        const std::lock_guard lock(uses_.live.mutex());
        collection = uses_.live.begin_view(making);
        times = {std::max<std::int64_t>(uses_.live.engine().last_event_ms(), 0), uses_.live.age_ms()};
    }
    StateView state = uses_.live.finish_view(making, std::move(collection));
    making.unlock();
    if (!uses_.live.wait_durable(state.lsn)) {
        throw StorageError(log_failed().message);
    }
    const HistoryMark mark = uses_.history.mark_at(state.lsn);
    pin.advance(state.lsn);
    HistoryMarks marks = uses_.history.marks_up_to(state.lsn);
    return std::make_unique<StateSender>(std::move(state), times, mark, uses_.live.hash_seed(), uses_.storage,
                                         uses_.mastership.database_id(), std::move(marks), std::move(kept));
}

std::unique_ptr<StateWriter> StateExchange::write(const IdempotencyRetention& retention) {
    return std::make_unique<StateReceiver>(retention,
                                           [this](ReceivedState& received, const Replacement& replacement) {
                                               return install(received, replacement);
                                           });
}

std::unique_ptr<ForeignStateWriter> StateExchange::write_foreign() {
    return std::make_unique<Karma1State>(
        uses_.live.hash_seed(), uses_.live.idempotency_retention(),
        [this](ReceivedState& received) { install(received, Replacement()); });
}

std::filesystem::path StateExchange::install(ReceivedState& received, const Replacement& replacement) {
    if (!uses_.failures.is_half_installed()) {
        uses_.live.commit_all();
    }
    const StateView view = received.engine.view();
    check(received, view, replacement);
    if (replacement.before) {
        replacement.before();
    }
    std::filesystem::path aside = move_aside(replacement);
    const LogHistory::DroppingLock dropping = uses_.history.lock_dropping();
    // Until memory has the state too: a snapshot of the old one would name pages of the new one as its own.
    const SnapshotStore::Saving saving = uses_.snapshots.begin_saving();
    {
        // Who reads for a follower ends, before what is read is gone.
        const std::lock_guard lock(uses_.live.mutex());
        uses_.node.begin_generation();
    }
    uses_.live.notify();
    const RecordsFiles::Excluding no_file = uses_.files.records.exclude();
    const SnapshotStore::Excluding excluding = uses_.snapshots.exclude_readers();
    // An epoch that is named meanwhile is noted in what is stored then, or refused as one of another
    // database.
    const Mastership::FencingLock fencing = uses_.mastership.lock_fencing();
    try {
        replace_stored({saving, no_file, excluding}, received, view, replacement);
    } catch (...) {
        uses_.failures.set_half_installed(true);
        uses_.live.notify();
        throw;
    }
    replace_live(received, view.lsn);
    uses_.live.notify();
    uses_.failures.set_snapshot_failure({});
    if (ReplicationControl* const control = uses_.node.control()) {
        control->on_fenced();  // the epochs of the state may be later ones than were known
    }
    uses_.history.set_marks(std::move(received.marks));
    return aside;
}

void StateExchange::check(const ReceivedState& received, const StateView& view,
                          const Replacement& replacement) const {
    if (replacement.database_id.is_known() && received.database_id != replacement.database_id) {
        throw CorruptionError("the state is of another database than the master has told of");
    }
    if (view.lsn < replacement.lsn_min) {
        throw CorruptionError("the state ends at LSN " + std::to_string(view.lsn) + ", this node's at " +
                              std::to_string(replacement.lsn_min) + ": it is no continuation");
    }
}

/// Puts a state in the place of the one in memory.
void StateExchange::replace_live(ReceivedState& received, Lsn lsn) {
    const LiveState::MakingView no_view = uses_.live.make_view();
    const LiveState::Lock lock = uses_.live.lock();
    if (tells_age(received)) {
        uses_.live.begin_age(age_of(received));
    }
    uses_.mastership.become(received.database_id);
    uses_.live.engine().exchange_state(received.engine);
    uses_.live.set_retention(received.retention);
    uses_.node.begin_generation();
    uses_.live.committer()->restart_after(lsn);
    uses_.failures.set_half_installed(false);
    uses_.retention.forget_erased();
}

/// A copy of the files, which share their contents with the database as long as it has them: whole at any
/// moment, also of a crash. What is in memory becomes files. Storage that was handed in is its owner's.
std::filesystem::path StateExchange::move_aside(const Replacement& replacement) const {
    if (replacement.order.empty() || uses_.owned_storage == nullptr || uses_.directory == nullptr) {
        return {};
    }
    std::filesystem::path aside =
        uses_.directory->free_name("discarded-" + std::to_string(uses_.live.now_ms() / 1000));
    if (const auto* const files = dynamic_cast<const RocksdbStorage*>(uses_.owned_storage)) {
        files->copy_to(aside);
    } else {
        const LogHistory::DroppingLock dropping = uses_.history.lock_dropping();
        const auto kept = uses_.snapshots.keep_all();
        copy_to_directory(uses_.storage, aside);
    }
    return aside;
}

/// The records that stay when another state takes the place of this one, and those that say so until it is
/// whole.
std::vector<RecordChange> StateExchange::kept_records(const ReceivedState& received,
                                                      const Replacement& replacement) const {
    std::vector<RecordChange> kept = records_of_node(uses_.storage);
    // What was told of the epochs of another database says nothing of this one's.
    const DatabaseId own = uses_.mastership.database_id();
    const bool is_foreign = are_strangers(received.database_id, own);
    if (is_foreign || (!own.is_known() && uses_.mastership.is_empty())) {
        std::erase_if(kept, [](const RecordChange& record) { return is_known_epoch(record); });
    }
    kept.push_back({Table::meta, installing_key, "1"});
    kept.push_back(hash_seed_change(received.engine.hash_seed()));
    if (!replacement.order.empty()) {
        std::vector<std::string> orders = read_used_orders(uses_.storage);
        orders.push_back(replacement.order);
        kept.push_back(used_orders_change(std::move(orders)));
    }
    const auto keep_note = [&](std::string_view name) {
        if (std::optional<RecordChange> note = notes_.kept(name)) {
            kept.push_back(std::move(*note));
        }
    };
    keep_note(peers_note);
    if (!is_foreign) {
        keep_note(counted_note);
    }
    return kept;
}

/// Puts a state in the place of all that is stored.
void StateExchange::replace_stored(const Replacing& held, const ReceivedState& received,
                                   const StateView& view, const Replacement& replacement) {
    uses_.storage.clear(kept_records(received, replacement));
    uses_.snapshots.forget_all(held.excluding);
    uses_.files.forget_all(held.no_file);
    const std::vector<RecordChange>& records = received.records;
    constexpr std::size_t at_once = 64;
    for (std::size_t i = 0; i < records.size(); i += at_once) {
        uses_.storage.write(std::span(records).subspan(i, std::min(at_once, records.size() - i)), false);
    }
    std::vector<RecordChange> changes = {{Table::meta, installing_key, std::nullopt},
                                         first_record_change(view.of<IdempotencyIndex>().first_record_lsn),
                                         marks_change(received.marks),
                                         ordered_lsn_change(view.lsn + 1),
                                         retention_told_change(received.retention)};
    if (received.database_id.is_known()) {
        changes.push_back(database_id_change(received.database_id));
    }
    if (tells_age(received)) {
        changes.push_back(meta_numbers_change(age_key, {static_cast<std::uint64_t>(age_of(received))}));
    }
    if (tells_last_event(received.engine)) {
        changes.push_back(meta_numbers_change(base_time_key,
                                              {static_cast<std::uint64_t>(received.engine.last_event_ms())}));
    }
    if (received.mark.checksum) {
        changes.push_back(LogHistory::base_mark_change(received.mark));
    }
    uses_.snapshots.set_database_id(received.database_id);
    skip_log_to(uses_.storage, view.lsn + 1);
    uses_.snapshots.save_all(held.saving, view, uses_.live.now_ms(), std::move(changes));
}

}  // namespace karma
