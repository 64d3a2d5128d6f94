#include "persist/database.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <random>

#include "engine/querier.h"
#include "persist/database_tasks.h"
#include "persist/memory_storage.h"
#include "persist/preparations.h"
#include "persist/record_store.h"
#include "persist/restore.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_files.h"
#include "persist/statistics.h"

namespace karma {
namespace {

constexpr const char* hash_seed_key = "hash_seed";

std::int64_t machine_clock_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// The seed that this database was created with; a new database gets one that no client knows.
std::uint64_t hash_seed_of(Storage& storage) {
    if (const std::optional<std::string> stored = storage.read(Table::meta, hash_seed_key)) {
        std::uint64_t seed = 0;
        const auto [end, failure] = std::from_chars(stored->data(), stored->data() + stored->size(), seed);
        if (failure != std::errc{} || end != stored->data() + stored->size()) {
            throw CorruptionError("the database's hash seed is not a number");
        }
        return seed;
    }
    std::random_device device;
    const std::uint64_t seed = (std::uint64_t{device()} << 32U) | device();
    const RecordChange change{Table::meta, hash_seed_key, std::to_string(seed)};
    storage.write(std::span(&change, 1), true);
    return seed;
}

template <typename Body>
constexpr bool is_control =
    std::is_same_v<Body, control::SaveSnapshot> || std::is_same_v<Body, control::SaveAllSnapshots> ||
    std::is_same_v<Body, control::ReportReconciliation>;

/// Measures how long an ingest chunk takes.
class ChunkTimer {
public:
    ChunkTimer(bool is_chunk, Stats& stats) : stats_(is_chunk ? &stats : nullptr) {
        if (stats_ != nullptr) {
            begin_ = Clock::now();
        }
    }
    ChunkTimer(const ChunkTimer&) = delete;
    ChunkTimer& operator=(const ChunkTimer&) = delete;
    ~ChunkTimer() {
        if (stats_ != nullptr) {
            const auto ns = static_cast<std::uint64_t>((Clock::now() - begin_) / std::chrono::nanoseconds(1));
            Stats::add(stats_->ingest_ns, ns);
            stats_->ingest_last_chunk_ns.store(ns, std::memory_order_relaxed);
        }
    }

private:
    using Clock = std::chrono::steady_clock;

    Stats* stats_;
    Clock::time_point begin_;
};

}  // namespace

std::unique_ptr<Database> Database::open(const DatabaseOptions& options) {
    auto directory = std::make_unique<DataDirectory>(options.directory);
    std::unique_ptr<Storage> storage;
    std::string aside;
    if (options.storage == StorageKind::memory) {
        storage = std::make_unique<MemoryStorage>();
    } else {
        if (!options.restore) {
            aside = directory->set_aside(std::to_string(machine_clock_ms() / 1000)).string();
        }
        storage = std::make_unique<RocksdbStorage>(
            RocksdbStorage::Options{directory->database(), options.wal_segment_bytes, nullptr});
    }
    Storage* const raw = storage.get();
    std::unique_ptr<Database> database(new Database(options, std::move(directory), std::move(storage), raw));
    if (!aside.empty()) {
        database->restore_summary_ +=
            "; --restore=false: the earlier database was left untouched as " + aside;
    }
    return database;
}

std::unique_ptr<Database> Database::open(const DatabaseOptions& options, Storage& storage) {
    return std::unique_ptr<Database>(new Database(options, nullptr, nullptr, &storage));
}

Database::Database(const DatabaseOptions& options, std::unique_ptr<DataDirectory> directory,
                   std::unique_ptr<Storage> owned, Storage* storage)
    : options_(options),
      directory_(std::move(directory)),
      owned_storage_(std::move(owned)),
      storage_(*storage),
      engine_(hash_seed_of(*storage), *this, options.idempotency),
      snapshots_(*storage) {
    if (!options_.clock_ms) {
        options_.clock_ms = machine_clock_ms;
    }
    opened_ms_ = now_ms();
    restore();
    if (options_.wal) {
        if (engine_.last_lsn() >= storage_.next_lsn()) {
            // What was accepted without a log is in no log: the log can only go on after a snapshot of
            // everything.
            snapshots_.save_all(engine_.view(), now_ms(), options_.snapshots_retained);
        }
        storage_.skip_to(engine_.last_lsn() + 1);
        committer_ = std::make_unique<GroupCommitter>(
            storage_, mutex_, stats_,
            GroupCommitter::Options{options_.wal_fsync, options_.wal_batch_size, options_.wal_batch_wait_us});
        committer_->add_listener([this] { notify(); });
    }
    housekeeper_ = std::make_unique<Housekeeper>([this] { load_records(); }, [this] { keep_house(); });
}

Database::~Database() {
    stopping_.store(true, std::memory_order_relaxed);
    housekeeper_.reset();
}

void Database::restore() {
    const Restored restored = restore_state(engine_, storage_, snapshots_, NoDeadline());
    // Without a log a snapshot of one series may be ahead of everything else.
    engine_.restore_last_lsn(std::max(engine_.last_lsn(), snapshots_.last_lsn()));
    restore_summary_ = "restored " + std::to_string(engine_.series_count()) + " series: snapshot at LSN " +
                       std::to_string(restored.snapshot_lsn) + ", then " + std::to_string(restored.events) +
                       " events; last LSN " + std::to_string(engine_.last_lsn());
}

// ---- the housekeeper's work

/// The records are read while requests are served that do not need them.
void Database::load_records() {
    std::string failure;
    try {
        read_idempotency_records(storage_, [this](std::span<const IdempotencyRecord> records) {
            const std::lock_guard lock(mutex_);
            for (const IdempotencyRecord& record : records) {
                engine_.restore_record(record);
            }
            return !stopping_.load(std::memory_order_relaxed);
        });
    } catch (const std::exception& caught) {
        failure = caught.what();
    }
    set_has_records(failure);
}

void Database::set_has_records(const std::string& failure) {
    {
        const std::lock_guard lock(listeners_mutex_);
        records_failure_ = failure;
        has_records_.store(true, std::memory_order_release);
    }
    records_loaded_.notify_all();
    notify();
}

void Database::keep_house() {
    constexpr std::size_t swept_at_once = 256;
    Lsn first_lsn = 0;
    Lsn last_lsn = 0;
    for (bool more = true; more;) {
        const std::lock_guard lock(mutex_);
        more = engine_.sweep_records(swept_at_once, now_ms());
        last_lsn = engine_.last_lsn();
        first_lsn = engine_.idempotency().first_lsn().value_or(last_lsn + 1);
    }
    // Without a log records are stored with snapshots, and only those say what is gone.
    if (first_lsn <= erased_records_below_ || !committer_ || !records_failure_.empty()) {
        return;
    }
    // What has made them go must not be taken back by a crash.
    if (!committer_->wait_durable(last_lsn)) {
        return;
    }
    try {
        erase_records_below(storage_, first_lsn);
        erased_records_below_ = first_lsn;
    } catch (const std::exception&) {
        // The storage refuses everything from now on, and who writes next is told why.
    }
}

// ---- requests

void Database::accept(const Event& event, const EventRecords& records) {
    if (committer_) {
        committer_->add(event, records);
    } else {
        keep_records(event, records);
    }
}

void Database::keep_records(const Event& event, const EventRecords& records) {
    if (records.idempotency != nullptr) {
        constexpr std::uint32_t count_max = 1024;
        if (unsaved_records_.empty() || unsaved_records_.back().count >= count_max) {
            // What was forgotten meanwhile need not be stored.
            const Lsn first_lsn = engine_.idempotency().first_lsn().value_or(event.lsn);
            while (!unsaved_records_.empty() && unsaved_records_.front().last_lsn < first_lsn) {
                unsaved_records_.pop_front();
            }
            unsaved_records_.emplace_back();
        }
        UnsavedRecords& last = unsaved_records_.back();
        append_record(*records.idempotency, last.bytes);
        last.last_lsn = event.lsn;
        ++last.count;
    }
    if (records.stream != nullptr) {
        unsaved_.push_back(committed_stream_change(*records.stream));
    }
    if (records.first_record) {
        unsaved_.push_back(first_record_change(*records.first_record));
    }
}

std::vector<RecordChange> Database::take_unsaved() {
    std::vector<RecordChange> changes = std::exchange(unsaved_, {});
    for (UnsavedRecords& records : unsaved_records_) {
        changes.push_back(records_change(records.last_lsn, std::move(records.bytes)));
    }
    unsaved_records_.clear();
    return changes;
}

void Database::execute(std::span<const Request> requests, std::span<Outcome> outcomes) {
    const std::int64_t now = now_ms();
    // One for each thread that executes: what it makes borrows from itself.
    thread_local Preparations preparations;
    preparations.prepare(requests, engine_.hash_seed(), now);
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            const PreparedMutation* const prepared = preparations.next(requests[i], engine_);
            const ChunkTimer timer(prepared != nullptr && std::holds_alternative<Mutation>(requests[i]),
                                   stats_);
            outcomes[i] = execute_one(requests[i], prepared, now);
            count_outcome(requests[i], outcomes[i], stats_);
        }
        if (engine_.has_retired()) {
            retired = engine_.take_retired();
        }
    }
    if (!retired.empty()) {
        housekeeper_->destroy(std::move(retired));
    }
}

bool Database::commit() {
    if (!committer_) {
        return false;
    }
    if (committer_->prefers_commit_here()) {
        return committer_->commit_here();
    }
    const std::lock_guard lock(mutex_);
    committer_->flush();
    return false;
}

/// Why this database does not execute a request that writes, if so.
std::optional<Error> Database::refuse_write(const Request& request) const {
    if (has_failed()) {
        return log_failed();
    }
    if (options_.read_only) {
        return Error{ErrorCode::forbidden, "Slave role cannot execute commands that write"};
    }
    if (needs_records(request) && !has_records()) {
        return Error{ErrorCode::internal_error, "The idempotency records are still being read"};
    }
    if (needs_records(request) && !records_failure_.empty()) {
        return Error{ErrorCode::internal_error,
                     "The idempotency records could not be read: " + records_failure_};
    }
    return std::nullopt;
}

Outcome Database::execute_one(const Request& request, const PreparedMutation* prepared, std::int64_t now) {
    return std::visit(
        [&](const auto& body) -> Outcome {
            using Body = std::decay_t<decltype(body)>;
            constexpr bool is_mutation =
                std::is_same_v<Body, Mutation> || std::is_same_v<Body, KeyedMutation>;
            if constexpr (is_mutation || is_control<Body>) {
                if (std::optional<Error> refused = refuse_write(request)) {
                    return {Reply(std::move(*refused)), 0};
                }
            }
            if constexpr (std::is_same_v<Body, query::Ping>) {
                return {Reply(reply::Pong{}), 0};
            } else if constexpr (std::is_same_v<Body, query::Health>) {
                return {Reply(health()), 0};
            } else if constexpr (std::is_same_v<Body, query::ReplicationStatus>) {
                return {Reply(replication_status()), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::LogEntries>) {
                return read_entries_later(body);
            } else if constexpr (std::is_same_v<Body, query::Stats>) {
                return {Reply(reply::StatsList{metrics()}), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::Metrics>) {
                return {Reply(reply::MetricsText{metrics()}), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::Snapshots>) {
                return {Reply(reply::SnapshotNames{snapshot_files(snapshots_.manifests())}), 0};
            } else if constexpr (std::is_same_v<Body, query::SnapshotInfo>) {
                return {Reply(snapshot_info()), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::VerifySnapshots>) {
                return {std::unique_ptr<Task>(std::make_unique<VerifyTask>(*this)), 0};
            } else if constexpr (std::is_same_v<Body, control::ReportReconciliation>) {
                count_reconciliation(body, static_cast<std::uint64_t>(now / 1000), stats_);
                return {Reply(reply::Ok{}), 0};
            } else if constexpr (std::is_same_v<Body, control::SaveSnapshot>) {
                return save_snapshot_later(body.series);
            } else if constexpr (std::is_same_v<Body, control::SaveAllSnapshots>) {
                return save_snapshot_later(std::nullopt);
            } else {
                return prepared == nullptr ? engine_.execute(request, now)
                                           : engine_.execute(request, *prepared, now);
            }
        },
        request);
}

Outcome Database::save_snapshot_later(std::optional<std::string_view> series) {
    const Series* const found = series ? engine_.find_series(*series) : nullptr;
    if (series && found == nullptr) {
        return {Reply(series_not_found(*series)), engine_.last_lsn()};
    }
    // Without a log only a snapshot of everything is a state to come back to: one of a single series would
    // be ahead of the others, and of the records of its requests.
    if (series && committer_) {
        return {
            std::unique_ptr<Task>(std::make_unique<SnapshotTask>(*this, found->view(), engine_.last_lsn())),
            engine_.last_lsn()};
    }
    return {std::unique_ptr<Task>(std::make_unique<SnapshotTask>(*this, engine_.view(), take_unsaved(),
                                                                 std::string(series.value_or("")))),
            engine_.last_lsn()};
}

Outcome Database::read_entries_later(const query::LogEntries& query) {
    return {std::unique_ptr<Task>(std::make_unique<EntriesTask>(*this, query, engine_.last_lsn())),
            engine_.last_lsn()};
}

reply::Health Database::health() const {
    std::string status = "ok";
    if (has_failed()) {
        status = "failed: " + committer_->failure();
    } else if (has_records() && !records_failure_.empty()) {
        status = "failed: " + records_failure_;
    }
    return {std::move(status), static_cast<double>(now_ms() - opened_ms_) / 1000.0,
            options_.read_only ? "slave" : "master", options_.wal};
}

reply::ReplicationStatus Database::replication_status() const {
    const std::vector<SnapshotStore::Manifest> manifests = snapshots_.manifests();
    return {options_.read_only ? "slave" : "master",
            options_.wal,
            engine_.last_lsn(),
            options_.wal ? storage_.log_bytes() : 0,
            replication_metrics(),
            snapshots_.last_lsn(),
            latest_snapshots(manifests),
            {engine_.checkpoints()}};
}

reply::SnapshotInfo Database::snapshot_info() const {
    const std::vector<SnapshotStore::Manifest> manifests = snapshots_.manifests();
    return {snapshot_files(manifests).size(),
            latest_snapshots(manifests),
            idempotency_snapshot(manifests),
            snapshots_.last_lsn(),
            options_.wal,
            options_.wal ? storage_.log_bytes() : 0,
            engine_.last_lsn(),
            options_.snapshots_retained};
}

std::vector<Metric> Database::metrics() const {
    DatabaseFigures figures;
    figures.uptime_seconds = static_cast<double>(now_ms() - opened_ms_) / 1000.0;
    figures.read_only = options_.read_only;
    figures.wal_enabled = options_.wal;
    figures.series = engine_.series_count();
    figures.keys = engine_.key_count();
    figures.snapshots = snapshot_files(snapshots_.manifests()).size();
    figures.wal_bytes = options_.wal ? storage_.log_bytes() : 0;
    figures.wal_current_lsn = engine_.last_lsn();
    for (const reply::Checkpoint& checkpoint : engine_.checkpoints()) {
        ++figures.checkpoints;
        figures.last_checkpoint_unix =
            std::max(figures.last_checkpoint_unix, static_cast<std::uint64_t>(checkpoint.updated_at_unix));
    }
    figures.open_streams = engine_.streams().open_count();
    figures.committed_streams = engine_.streams().committed_count();
    figures.idempotency_records = engine_.idempotency().size();
    figures.idempotency_forgotten = engine_.idempotency().forgotten();
    return collect_metrics(figures, stats_);
}

Lsn Database::durable_lsn() const noexcept {
    return committer_ ? committer_->durable_lsn() : std::numeric_limits<Lsn>::max();
}

bool Database::has_failed() const noexcept { return committer_ && committer_->has_failed(); }

int Database::add_durable_listener(std::function<void()> listener) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.emplace(++next_listener_, std::move(listener));
    return next_listener_;
}

void Database::remove_durable_listener(int number) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.erase(number);
}

void Database::notify() {
    const std::lock_guard lock(listeners_mutex_);
    for (const auto& entry : listeners_) {
        entry.second();
    }
}

void Database::wait_for_records() {
    std::unique_lock lock(listeners_mutex_);
    records_loaded_.wait(lock, [this] { return has_records(); });
}

Reply Database::call(const Request& request) {
    if (needs_records(request)) {
        wait_for_records();
    }
    Outcome outcome;
    execute(std::span(&request, 1), std::span(&outcome, 1));
    commit();
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        try {
            outcome.result = (*task)->run(NoDeadline());
        } catch (const RequestError& refused) {
            return Error{refused.code(), refused.what()};
        } catch (const std::exception& failure) {
            return Error{ErrorCode::internal_error, failure.what()};
        }
    }
    if (committer_ && !committer_->wait_durable(outcome.wait_lsn)) {
        return log_failed();
    }
    return std::move(std::get<Reply>(outcome.result));
}

namespace {

void throw_if_refused(const Reply& reply) {
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        throw RequestError(refused->code, refused->message);
    }
}

}  // namespace

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

void Database::save_snapshot() { throw_if_refused(call(control::SaveAllSnapshots{})); }

StateView Database::view() const {
    const std::lock_guard lock(mutex_);
    return engine_.view();
}

Digest Database::digest() const { return view().digest(NoDeadline()); }

Lsn Database::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return engine_.last_lsn();
}

}  // namespace karma
