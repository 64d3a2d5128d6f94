#include "persist/database.h"

#include <utility>

#include "engine/error.h"
#include "persist/database/parts.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"

namespace karma {

// ---- opening

std::unique_ptr<Database> Database::open(const DatabaseOptions& options) {
    auto directory = std::make_unique<DataDirectory>(options.directory);
    std::unique_ptr<Storage> storage;
    DatabaseOptions placed = options;
    std::string aside;
    if (options.storage == StorageKind::memory) {
        storage = std::make_unique<MemoryStorage>();
    } else {
        if (!options.restore) {
            aside = directory->set_aside(std::to_string(DatabaseClock(options.clock_ms, {}).now_ms() / 1000))
                        .string();
        }
        auto rocksdb = std::make_unique<RocksdbStorage>(
            RocksdbStorage::Options{directory->database(), options.wal_segment_bytes, nullptr, false, false,
                                    static_cast<int>(options.storage_open_files)});
        placed.ended_cleanly = rocksdb->ended_cleanly();
        storage = std::move(rocksdb);
    }
    Storage& opened = *storage;
    if (options.storage == StorageKind::rocksdb) {
        placed.place = place_of(directory->database());
        directory->note_database();
    }
    auto parts = std::make_unique<DatabaseParts>(placed, std::move(directory), std::move(storage), opened);
    if (!aside.empty()) {
        parts->restore_summary += "; --restore=false: the earlier database was left untouched as " + aside;
    }
    return std::unique_ptr<Database>(new Database(std::move(parts)));
}

std::unique_ptr<Database> Database::open(const DatabaseOptions& options, Storage& storage) {
    return std::unique_ptr<Database>(
        new Database(std::make_unique<DatabaseParts>(options, nullptr, nullptr, storage)));
}

Database::Database(std::unique_ptr<DatabaseParts> parts) : parts_(std::move(parts)) {}

Database::~Database() = default;

// ---- Executor

void Database::execute(std::span<const Request> requests, std::span<Outcome> outcomes) {
    parts_->requests.execute(requests, outcomes);
}

bool Database::commit() { return parts_->live.commit(); }
bool Database::has_records() const noexcept { return parts_->live.has_records(); }
Stats& Database::stats() noexcept { return parts_->live.stats(); }
bool Database::accepts_writes() const noexcept { return !parts_->node.is_follower(); }
std::optional<std::chrono::milliseconds> Database::ack_timeout() const noexcept {
    return parts_->live.ack_timeout();
}
Lsn Database::acked_lsn() const noexcept { return parts_->node.acked_lsn(); }
Lsn Database::durable_lsn() const noexcept { return parts_->live.durable_lsn(); }
bool Database::has_failed() const noexcept { return parts_->live.has_failed(); }
int Database::add_durable_listener(std::function<void()> listener) {
    return parts_->live.add_listener(std::move(listener));
}
void Database::remove_durable_listener(int number) { parts_->live.remove_listener(number); }

// ---- Replicated

bool Database::has_log() const noexcept { return parts_->live.has_log(); }
Role Database::role() const noexcept { return parts_->node.get(); }
std::int64_t Database::now_ms() const { return parts_->live.now_ms(); }
Lsn Database::last_lsn() const { return parts_->live.last_lsn(); }
StateView Database::view() const { return parts_->live.view(); }
std::uint64_t Database::generation() const noexcept { return parts_->node.generation(); }
void Database::hold_log(bool held) { parts_->node.hold_log(held); }
void Database::set_acked_lsn(Lsn lsn, std::uint64_t generation) {
    if (parts_->node.acknowledge(lsn, generation)) {
        parts_->live.notify();
    }
}

HistoryMark Database::mark_at(Lsn lsn) const { return parts_->history.mark_at(lsn); }
Lsn Database::first_kept_lsn() const { return parts_->history.first_kept_lsn(); }
void Database::read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const {
    parts_->history.read_log(from, visit);
}
std::unique_ptr<LogPin> Database::pin_log(Lsn lsn) { return parts_->history.pin(lsn); }

Epochs Database::epochs() const { return parts_->mastership.epochs(); }
bool Database::is_empty() const { return parts_->mastership.is_empty(); }
bool Database::syncs() const noexcept { return parts_->mastership.syncs(); }
DatabaseId Database::database_id() const { return parts_->mastership.database_id(); }
NodeId Database::node_id() const noexcept { return parts_->mastership.node_id(); }
Epoch Database::known_epoch() const { return parts_->mastership.known_epoch(); }
void Database::adopt_database_id(const DatabaseId& id) { parts_->mastership.adopt_database_id(id); }
Epoch Database::draw_epoch() const { return parts_->mastership.draw_epoch(); }
Epoch Database::promote(std::optional<Epoch> drawn) { return parts_->mastership.promote(drawn); }
bool Database::fence(const Epoch& named, const DatabaseId& database) {
    return parts_->mastership.fence(named, database);
}
void Database::demote() { parts_->mastership.demote(); }
IdempotencyRetention Database::idempotency_retention() const { return parts_->live.idempotency_retention(); }
void Database::use_idempotency_retention(const IdempotencyRetention& retention) {
    parts_->mastership.use_idempotency_retention(retention);
}

std::optional<std::string> Database::read_note(std::string_view name) const {
    return parts_->notes.read(name);
}
void Database::write_note(std::string_view name, std::optional<std::string> text) {
    parts_->notes.write(name, std::move(text));
}
bool Database::is_order_used(const std::string& order) const { return parts_->notes.is_order_used(order); }
std::string Database::unused_order() const { return parts_->notes.unused_order(); }

bool Database::wait_until_ready() { return parts_->live.wait_for_records(); }
std::optional<StateView> Database::replicate(std::string_view group, std::optional<Lsn> view_at) {
    return parts_->following.replicate(group, view_at);
}
void Database::replicate(const Event& event) { parts_->following.replicate(event); }
void Database::commit_replicated() { parts_->live.commit_all(); }
std::unique_ptr<StateReader> Database::read_state(LogPin& pin) { return parts_->exchange.read(pin); }
std::unique_ptr<StateWriter> Database::write_state(const IdempotencyRetention& retention) {
    return parts_->exchange.write(retention);
}
std::unique_ptr<ForeignStateWriter> Database::write_foreign_state() {
    return parts_->exchange.write_foreign();
}
void Database::set_replication(ReplicationControl* control) noexcept { parts_->node.set_control(control); }

// ---- for programs that embed it

Reply Database::call(const Request& request) { return parts_->requests.call(request); }

void Database::increment(std::string_view series, std::uint64_t key, std::uint64_t value, Day day) {
    if (series.empty() || value == 0) {
        throw RequestError(ErrorCode::validation_error,
                           series.empty() ? "series must not be empty" : "value must be greater than 0");
    }
    throw_if_refused(call(Mutation(mutation::Increment{series, key, day, value})));
}

std::uint64_t Database::sum(std::string_view series, std::uint64_t key,
                            const std::optional<DayRange>& range) {
    const Reply reply = call(query::Sum{series, key, range});
    throw_if_refused(reply);
    return std::get<reply::Number>(reply).value;
}

void Database::save_snapshot(const Deadline& deadline) { parts_->taker.save(deadline); }
bool Database::save_snapshot_if_changed(const Deadline& deadline) {
    return parts_->taker.save_if_changed(deadline);
}
void Database::apply_retention() { parts_->retention.apply(); }
void Database::maintain() { parts_->maintenance.run(); }
void Database::wind_down() {
    parts_->background.wind_down();
    parts_->storage.end_maintenance();
}

Digest Database::digest() const { return view().digest(NoDeadline()); }
std::uint64_t Database::hash_seed() const noexcept { return parts_->live.hash_seed(); }
std::size_t Database::idempotency_bytes() const {
    const LiveState::Lock lock = parts_->live.lock();
    return parts_->live.engine().idempotency().bytes();
}
std::string Database::failure() const { return parts_->live.failure(); }
const std::string& Database::restore_summary() const noexcept { return parts_->restore_summary; }
const std::vector<std::string>& Database::restore_warnings() const noexcept {
    return parts_->restore_warnings;
}
const std::string& Database::copy_warning() const noexcept { return parts_->mastership.copy_warning(); }

}  // namespace karma
