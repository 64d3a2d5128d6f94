#include "persist/database.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <thread>

#include "engine/querier.h"
#include "persist/database_tasks.h"
#include "persist/export_tasks.h"
#include "persist/hash_seed.h"
#include "persist/history_task.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "persist/meta_numbers.h"
#include "persist/preparations.h"
#include "persist/random_number.h"
#include "persist/record_store.h"
#include "persist/restore.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_files.h"
#include "persist/snapshot_tasks.h"
#include "persist/state_transfer.h"
#include "persist/statistics.h"

namespace karma {
namespace {

DatabaseOptions with_defaults(DatabaseOptions options, const Storage& storage) {
    if (options.read_only) {
        // What a follower has of its master lives by the master's limits.
        options.idempotency = read_retention_told(storage).value_or(options.idempotency);
    }
    if (!options.random) {
        options.random = random_number;
    }
    return options;
}

template <typename Body>
constexpr bool is_control =
    std::is_same_v<Body, control::SaveSnapshot> || std::is_same_v<Body, control::SaveAllSnapshots> ||
    std::is_same_v<Body, control::LoadSnapshot> || std::is_same_v<Body, control::ReportReconciliation>;

/// What is answered by a task that does its own waiting.
template <typename SomeTask, typename... Arguments>
Outcome later(Arguments&&... arguments) {
    return {std::unique_ptr<Task>(std::make_unique<SomeTask>(std::forward<Arguments>(arguments)...)), 0};
}

/// The message has room in the text itself.
Outcome out_of_memory() { return {Reply(Error{ErrorCode::internal_error, "Out of memory"}), 0}; }

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
    Storage* const raw = storage.get();
    if (options.storage == StorageKind::rocksdb) {
        placed.place = place_of(directory->database());
        directory->note_database();
    }
    std::unique_ptr<Database> database(new Database(placed, std::move(directory), std::move(storage), raw));
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
    : options_(with_defaults(options, *storage)),
      clock_(options.clock_ms, options.steady_ms),
      directory_(std::move(directory)),
      owned_storage_(std::move(owned)),
      storage_(*storage),
      engine_(ensure_hash_seed(*storage, options_.random), *this, options_.idempotency),
      snapshots_(*storage),
      catalog_(snapshots_, options_.snapshots_retained),
      tree_files_(snapshots_),
      records_files_(*storage, directory_for_files(), std::chrono::steady_clock::now),
      exports_(std::chrono::steady_clock::now),
      identity_(*storage, options.place, options_.random) {
    engine_.set_series_max(options_.series_max);
    engine_.set_streams_max(options_.streams_max);
    opened_ms_ = clock_.steady_ms();
    last_snapshot_ms_ = opened_ms_;
    last_retention_ms_ = opened_ms_ - retention_interval_ms;
    last_age_ms_ = opened_ms_;
    discard_interrupted_state();
    snapshots_.erase_leftovers();
    restore();
    begin_clocks();
    begin_role();
    if (options_.wal) {
        if (engine_.last_lsn() >= storage_.next_lsn() && engine_.last_lsn() > snapshots_.last_full_lsn()) {
            // What was accepted without a log is in no log: the log can only go on after a snapshot of
            // everything.
            snapshots_.save_all(snapshots_.begin_saving(), engine_.view(), now_ms());
        }
        skip_log_to(storage_, engine_.last_lsn() + 1);
        GroupCommitter::Options committing{options_.wal_fsync, options_.wal_batch_size,
                                           options_.wal_batch_wait_us, options_.threads};
        committing.on_failure = [this](const std::string& why) {
            if (options_.on_failure) {
                options_.on_failure("event_log", why);
            }
        };
        committer_ = std::make_unique<GroupCommitter>(storage_, mutex_, stats_, committing);
        committer_->add_listener([this] { notify(); });
    }
    begin_identity();
    if (role() == Role::master) {
        abort_loads(open_loads());
    }
    if (options_.threads) {
        housekeeper_ = std::make_unique<Housekeeper>([this] { load_records(); }, [this] { keep_house(); });
    } else {
        load_records();
    }
}

Database::~Database() {
    stopping_.store(true, std::memory_order_relaxed);
    is_winding_down_ = true;
    if (owned_storage_) {
        owned_storage_->end_maintenance();
    }
    housekeeper_.reset();
    end_cleanly();
}

/// The time goes on where it ended.
void Database::begin_clocks() {
    if (const auto base = read_meta_number(storage_, base_time_key)) {
        engine_.restore_last_event_ms(std::max(engine_.last_event_ms(), static_cast<std::int64_t>(*base)));
    }
    const Lsn last_lsn = engine_.last_lsn();
    storage_.read_log(last_lsn, [&](const EventGroup& group) {
        read_group(group, [&](const Event& event) {
            if (event.lsn == last_lsn) {
                engine_.restore_last_event_ms(event.time_ms);
            }
        });
        return false;
    });
    const DatabaseClock::Reading reading = clock_.read();
    // After an import, or a time without a log, the last event is not there: a snapshot tells when it was.
    std::int64_t age_ms = reading.now_ms;
    const std::vector<SnapshotStore::ManifestRef> manifests = snapshots_.manifests();
    if (engine_.last_event_ms() != std::numeric_limits<std::int64_t>::min()) {
        age_ms = engine_.last_event_ms();
    } else if (!manifests.empty()) {
        age_ms = manifests.front()->created_ms;
    }
    if (const auto stored = read_meta_number(storage_, age_key)) {
        age_ms = static_cast<std::int64_t>(*stored);
    }
    age_.begin(std::min(age_ms, reading.now_ms), reading.steady_ms);
}

namespace {

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

}  // namespace

void Database::restore() {
    constexpr Lsn any = std::numeric_limits<Lsn>::max();
    engine_.restore_first_record_lsn(read_first_record_lsn(storage_));
    Restored restored = restore_state(engine_, storage_, snapshots_, UntilGivenUp(options_.gives_up), {},
                                      options_.restore_from.value_or(any));
    restore_warnings_ = std::move(restored.damaged);
    restore_summary_ = "restored " + std::to_string(engine_.series_count()) + " series: snapshot at LSN " +
                       std::to_string(restored.snapshot_lsn) + ", then " + std::to_string(restored.events) +
                       " events; last LSN " + std::to_string(engine_.last_lsn()) + discarded_;
}

// ---- requests

void Database::accept(const Event& event, const EventRecords& records) {
    if (committer_) {
        committer_->add(event, records);
    } else {
        unsaved_.add(event, records, engine_.idempotency().first_live_lsn());
    }
}

void Database::execute(std::span<const Request> requests, std::span<Outcome> outcomes) {
    const DatabaseClock::Reading reading = clock_.read();
    const std::int64_t now = reading.now_ms;
    // One for each thread that executes: what it makes borrows from itself.
    thread_local Preparations preparations;
    try {
        preparations.prepare(requests, engine_.hash_seed(), now);
    } catch (const std::bad_alloc&) {
        for (Outcome& outcome : outcomes) {
            outcome = out_of_memory();
        }
        return;
    }
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        engine_.limit_age(age_.at(reading));
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (i % Engine::prefetch_max == 0 && requests.size() - i > 1) {
                engine_.prefetch(requests.subspan(i));
            }
            try {
                const PreparedMutation* const prepared = preparations.next(requests[i], engine_);
                const ChunkTimer timer(prepared != nullptr && std::holds_alternative<Mutation>(requests[i]),
                                       stats_);
                outcomes[i] = execute_one(requests[i], prepared, now);
            } catch (const std::bad_alloc&) {
                outcomes[i] = not_executed();
            }
            count_outcome(requests[i], outcomes[i], stats_);
            note_replicas(requests[i], outcomes[i]);
        }
        if (engine_.has_retired()) {
            retired = engine_.take_retired();
        }
    }
    destroy(std::move(retired));
}

/// What a request is told that memory did not suffice for.
Outcome Database::not_executed() {
    try {
        return stop_if_half_changed() ? Outcome{Reply(log_failed()), 0} : out_of_memory();
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    }
}

/// What the log has is what there is: a restart gives it.
bool Database::stop_if_half_changed() {
    if (!engine_.is_half_changed() || is_half_changed_) {
        return engine_.is_half_changed();
    }
    last_whole_lsn_.store(engine_.last_lsn() - 1, std::memory_order_release);
    is_half_changed_ = true;
    if (committer_) {
        committer_->fail(half_changed_text);
    } else {
        notify();
        if (options_.on_failure) {
            options_.on_failure("memory", half_changed_text);
        }
    }
    return true;
}

/// What a reply has to wait for where there are other nodes.
void Database::note_replicas(const Request& request, Outcome& outcome) const {
    if (options_.replication_min_acks != 0 &&
        (std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request))) {
        const auto* const reply = std::get_if<Reply>(&outcome.result);
        outcome.ack_lsn = reply != nullptr && std::holds_alternative<Error>(*reply) ? 0 : outcome.wait_lsn;
    }
    if (role() == Role::slave && outcome.wait_lsn <= durable_lsn()) {
        // Another state may take the place of this one before anybody waits, with lower LSNs.
        outcome.wait_lsn = 0;
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
    if (const Role now = role(); now != Role::master) {
        return now == Role::slave
                   ? Error{ErrorCode::forbidden, "Slave role cannot execute commands that write"}
                   : Error{ErrorCode::replication_error, fenced_text()};
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

template <typename Query>
Outcome Database::ask_past(const Query& query, std::int64_t now) {
    const Lsn last_lsn = engine_.last_lsn();
    const HistoryPoint& point = *query.as_of;
    constexpr HistoryPoint latest;
    if ((point.lsn != latest.lsn && point.lsn > last_lsn) ||
        (point.time_ms != latest.time_ms && point.begin_ms > std::max(now, engine_.last_event_ms()))) {
        return {Reply(Error{ErrorCode::validation_error,
                            "Field as_of must not be in the future: the last event has LSN " +
                                std::to_string(last_lsn)}),
                last_lsn};
    }
    const Series* const series = engine_.find_series(query.series);
    // Nothing has touched it since; what is not there is looked for in the past, but for the present.
    const bool is_unchanged = series != nullptr ? series->last_lsn() <= point.lsn : point.lsn >= last_lsn;
    if (point.time_ms == latest.time_ms && is_unchanged) {
        return Querier(engine_, now)(query);
    }
    return {std::unique_ptr<Task>(std::make_unique<HistoryTask<Query>>(*this, query, last_lsn, now)),
            last_lsn};
}

namespace {

/// A page that outlives its request.
class OwnPage {
public:
    explicit OwnPage(const query::Page& page) : limit_(page.limit), cursor_(page.cursor) {}

    query::Page get() const noexcept { return {limit_, cursor_}; }
    reply::PageOf of(bool has_more) const { return {limit_, cursor_, has_more}; }

private:
    std::optional<std::size_t> limit_;
    std::string cursor_;
};

/// What is left of a request whose state was copied with the lock: formats it, and lists snapshots.
template <typename Make>
class FormatTask final : public Task {
public:
    FormatTask(std::size_t cost_bytes, Make make) : cost_bytes_(cost_bytes), make_(std::move(make)) {}

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return cost_bytes_; }
    Reply run(const Deadline& /*deadline*/) override { return make_(); }

private:
    std::size_t cost_bytes_;
    Make make_;
};

template <typename Make>
Outcome format_later(std::size_t cost_bytes, Lsn wait_lsn, Make make) {
    return {std::unique_ptr<Task>(std::make_unique<FormatTask<Make>>(cost_bytes, std::move(make))), wait_lsn};
}

std::vector<reply::SnapshotOf> describe(const std::vector<SnapshotFile>& files) {
    std::vector<reply::SnapshotOf> all;
    all.reserve(files.size());
    for (const SnapshotFile& file : files) {
        all.push_back(file.describe());
    }
    return all;
}

}  // namespace

Outcome Database::replication_status_later(const query::Page& page) const {
    ReplicationFigures figures = replication_figures();
    reply::ReplicationStatus status{role_name(role()),
                                    options_.wal,
                                    engine_.last_lsn(),
                                    options_.wal ? storage_.log_bytes() : 0,
                                    replication_metrics(figures, engine_.epochs()),
                                    snapshots_.last_lsn(),
                                    {},
                                    {engine_.checkpoints().all()},
                                    last_epoch(engine_.epochs()).number,
                                    role() == Role::fenced,
                                    replication_alarm(),
                                    std::move(figures.source),
                                    std::move(figures.state),
                                    std::move(figures.followers),
                                    std::move(figures.counted),
                                    database_id_,
                                    identity_.node_id(),
                                    std::move(figures.discarded),
                                    {}};
    auto catalog = catalog_.get();
    const std::size_t cost = catalog->cost_bytes();
    return format_later(
        cost, engine_.last_lsn(),
        [status = std::move(status), catalog = std::move(catalog), page = OwnPage(page)]() mutable -> Reply {
            bool has_more = false;
            status.latest_snapshots = describe(catalog->latest(page.get(), has_more));
            status.page = page.of(has_more);
            return std::move(status);
        });
}

Outcome Database::snapshot_names_later(const query::Page& page) const {
    auto catalog = catalog_.get();
    const std::size_t cost = catalog->cost_bytes();
    return format_later(cost, 0, [catalog = std::move(catalog), page = OwnPage(page)]() -> Reply {
        bool has_more = false;
        reply::SnapshotNames names;
        for (const SnapshotFile& file : catalog->files(page.get(), has_more)) {
            names.files.push_back(file.name());
        }
        names.page = page.of(has_more);
        return names;
    });
}

Outcome Database::snapshot_info_later(const query::Page& page) const {
    auto catalog = catalog_.get();
    std::optional<reply::IdempotencySnapshot> records = idempotency_snapshot(catalog->manifests());
    if (records) {
        records->bytes = records_files_.size_of(records->last_lsn);  // once somebody has fetched it
    }
    reply::SnapshotInfo info{0,
                             {},
                             records,
                             snapshots_.last_lsn(),
                             options_.wal,
                             options_.wal ? storage_.log_bytes() : 0,
                             engine_.last_lsn(),
                             options_.snapshots_retained,
                             {}};
    const std::size_t cost = catalog->cost_bytes();
    return format_later(
        cost, engine_.last_lsn(),
        [info = std::move(info), catalog = std::move(catalog), page = OwnPage(page)]() mutable -> Reply {
            bool has_more = false;
            info.count = catalog->count();
            info.latest = describe(catalog->latest(page.get(), has_more));
            info.page = page.of(has_more);
            return std::move(info);
        });
}

/// system.stats and system.metrics.
template <typename ReplyOfMetrics>
Outcome Database::metrics_later() {
    DatabaseFigures figures;
    figures.uptime_seconds = static_cast<double>(clock_.steady_ms() - opened_ms_) / 1000.0;
    figures.role = role_name(role());
    figures.replication = replication_figures();
    figures.epochs = engine_.epochs();
    figures.has_alarm = role() == Role::fenced || !replication_alarm().empty();
    figures.clock_steps = clock_.steps();
    figures.log_lines_dropped = options_.log_lines_dropped ? options_.log_lines_dropped() : 0;
    figures.is_directory_lost = is_directory_lost_;
    figures.wal_enabled = options_.wal;
    figures.series = engine_.series_count();
    figures.keys = engine_.key_count();
    figures.wal_bytes = options_.wal ? storage_.log_bytes() : 0;
    figures.wal_current_lsn = engine_.last_lsn();
    figures.checkpoints = engine_.checkpoints().size();
    figures.last_checkpoint_unix = static_cast<std::uint64_t>(engine_.checkpoints().last_saved_unix());
    figures.open_streams = engine_.streams().open_count();
    figures.committed_streams = engine_.streams().committed_count();
    figures.idempotency_records = engine_.idempotency().size();
    figures.idempotency_forgotten = engine_.idempotency().forgotten();
    auto catalog = catalog_.get();
    const std::size_t cost = catalog->is_gathered() ? 0 : catalog->cost_bytes();
    return format_later(
        cost, engine_.last_lsn(),
        [this, figures = std::move(figures), catalog = std::move(catalog)]() mutable -> Reply {
            figures.snapshots = catalog->count();
            return ReplyOfMetrics{collect_metrics(figures, stats_)};
        });
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
                return replication_status_later(body.page);
            } else if constexpr (std::is_same_v<Body, query::LogEntries>) {
                return read_entries_later(body);
            } else if constexpr (std::is_same_v<Body, query::Events>) {
                return {std::unique_ptr<Task>(std::make_unique<EventsTask>(*this, body, engine_.last_lsn())),
                        engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::Stats>) {
                return metrics_later<reply::StatsList>();
            } else if constexpr (std::is_same_v<Body, query::Metrics>) {
                return metrics_later<reply::MetricsText>();
            } else if constexpr (std::is_same_v<Body, query::Snapshots>) {
                return snapshot_names_later(body.page);
            } else if constexpr (std::is_same_v<Body, query::SnapshotInfo>) {
                return snapshot_info_later(body.page);
            } else if constexpr (std::is_same_v<Body, query::VerifySnapshots>) {
                return later<VerifyTask>(*this);
            } else if constexpr (std::is_same_v<Body, control::Promote>) {
                return {promote_later(body.is_forced), 0};
            } else if constexpr (std::is_same_v<Body, control::Promise>) {
                return {promise_later(body), 0};
            } else if constexpr (std::is_same_v<Body, control::ForgetFollower>) {
                return {forget_follower_later(body), 0};
            } else if constexpr (std::is_same_v<Body, control::Fence>) {
                return {fence_later(body), 0};
            } else if constexpr (std::is_same_v<Body, query::HistoryPositionAt>) {
                return {find_position_later(body.lsn), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::CompareDigests>) {
                return {compare_digests_later(), 0};
            } else if constexpr (std::is_same_v<Body, control::Subscribe>) {
                return {Reply(Error{ErrorCode::replication_error, "Not on this connection"}), 0};
            } else if constexpr (std::is_same_v<Body, query::FetchSnapshot>) {
                return later<FetchTask>(*this, body);
            } else if constexpr (std::is_same_v<Body, query::FetchRecords>) {
                return later<FetchRecordsTask>(*this, body);
            } else if constexpr (std::is_same_v<Body, query::BeginExport>) {
                return later<BeginExportTask>(*this, body);
            } else if constexpr (std::is_same_v<Body, query::FetchExport>) {
                return later<FetchExportTask>(*this, body);
            } else if constexpr (std::is_same_v<Body, query::EndExport>) {
                return {end_export(body.export_id), 0};
            } else if constexpr (std::is_same_v<Body, control::LoadSnapshot>) {
                return later<LoadTask>(*this, std::string(body.file));
            } else if constexpr (std::is_same_v<Body, control::ReportReconciliation>) {
                count_reconciliation(body, static_cast<std::uint64_t>(now / 1000), stats_);
                return {Reply(reply::Ok{}), 0};
            } else if constexpr (std::is_same_v<Body, control::SaveSnapshot>) {
                return save_snapshot_later(body.series);
            } else if constexpr (std::is_same_v<Body, control::SaveAllSnapshots>) {
                return save_snapshot_later(std::nullopt);
            } else {
                if constexpr (AskablePast<Body>) {
                    if (body.as_of) {
                        return ask_past(body, now);
                    }
                }
                return prepared == nullptr ? engine_.execute(request, now)
                                           : engine_.execute(request, *prepared, now);
            }
        },
        request);
}

Outcome Database::save_snapshot_later(std::optional<std::string_view> series) {
    if (series && engine_.find_series(*series) == nullptr) {
        return {Reply(series_not_found(*series)), engine_.last_lsn()};
    }
    auto name = series ? std::optional<std::string>(*series) : std::nullopt;
    return {std::unique_ptr<Task>(std::make_unique<SnapshotTask>(*this, std::move(name))),
            engine_.last_lsn()};
}

std::optional<Error> Database::rebuild_series(Engine& past, std::string_view series,
                                              const HistoryPoint& point, Lsn last_lsn,
                                              const Deadline& deadline) {
    if (committer_ && !committer_->wait_durable(last_lsn)) {
        return log_failed();
    }
    const auto kept = snapshots_.keep_all();
    const HistoryPoint until{std::min(point.lsn, last_lsn), point.time_ms};
    restore_series(past, series, storage_, snapshots_, deadline, until);
    return std::nullopt;
}

Outcome Database::read_entries_later(const query::LogEntries& query) {
    return {std::unique_ptr<Task>(std::make_unique<EntriesTask>(*this, query, engine_.last_lsn())),
            engine_.last_lsn()};
}

// ---- for tasks

std::optional<SnapshotFile> Database::find_snapshot(const std::string& file) const {
    return catalog_.get()->find(file);
}

std::filesystem::path Database::file_in_directory(const std::string& file) const {
    if (!directory_) {
        return {};
    }
    std::filesystem::path path = directory_->path() / file;
    std::error_code failure;
    return std::filesystem::is_regular_file(path, failure) ? path : std::filesystem::path();
}

std::filesystem::path Database::directory_for_files() const {
    return directory_ ? directory_->path() : std::filesystem::temp_directory_path();
}

std::string Database::new_load_id(const std::string& file) {
    return std::string(load_stream_prefix) + file + "#" + std::to_string(now_ms()) + "." +
           std::to_string(++loads_);
}

Lsn Database::execute_own(const Mutation& body) {
    PreparedMutation prepared;
    prepared.body = body;
    Outcome outcome;
    {
        const std::lock_guard lock(mutex_);
        if (has_failed()) {
            throw RequestError(ErrorCode::internal_error, log_failed().message);
        }
        // It may have waited in a queue while the role changed. An epoch is begun before its node is master.
        if (role() != Role::master && !std::holds_alternative<mutation::StartEpoch>(body)) {
            throw RequestError(ErrorCode::replication_error,
                               "This node is no master any more: it takes no writes");
        }
        const DatabaseClock::Reading reading = clock_.read();
        engine_.limit_age(age_.at(reading));
        try {
            outcome = engine_.execute(Mutation(body), prepared, reading.now_ms);
        } catch (...) {
            stop_if_half_changed();
            throw;
        }
    }
    if (const auto* const reply = std::get_if<Reply>(&outcome.result)) {
        if (const auto* const refused = std::get_if<Error>(reply)) {
            throw RequestError(refused->code, refused->message);
        }
    }
    // No more of them are under way than the log takes.
    commit();
    if (!wait_durable(outcome.wait_lsn)) {
        throw RequestError(ErrorCode::internal_error, log_failed().message);
    }
    return outcome.wait_lsn;
}

/// Loads of snapshots that are under way, or were cut short by the end of who began them.
std::vector<std::string> Database::open_loads() const {
    std::vector<std::string> ids;
    const std::lock_guard lock(mutex_);
    for (const StreamView& stream : engine_.streams().open_streams()) {
        if (stream.info.id.starts_with(load_stream_prefix)) {
            ids.push_back(stream.info.id);
        }
    }
    return ids;
}

void Database::abort_loads(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
        execute_own(mutation::AbortStream{id});
    }
}

std::string Database::fenced_text() const {
    return "This node takes no writes: epoch " + std::to_string(known_epoch_locked().number) +
           " has begun on another node, its own is " + std::to_string(last_epoch(engine_.epochs()).number);
}

reply::Health Database::health() const {
    std::string status = "ok";
    const std::string why_no_snapshot = snapshot_failure();
    if (const std::string why = failure(); !why.empty()) {
        status = "failed: " + why;
    } else if (has_records() && !records_failure_.empty()) {
        status = "failed: " + records_failure_;
    } else if (!why_no_snapshot.empty() && !committer_) {
        status =
            "failed: the last snapshot could not be stored, and without an event log nothing else is; it "
            "is tried again: " +
            why_no_snapshot;
    } else if (role() == Role::fenced) {
        status = "fenced: " + fenced_text() +
                 ": start this node as a follower of that one (--role=slave), or, where that one is gone for "
                 "good or was promoted by mistake, make this one master again (karma promote --force)";
    } else if (const std::string alarm = replication_alarm(); !alarm.empty()) {
        status = alarm;
    } else if (const std::string why_no_file = write_refusal(); !why_no_file.empty()) {
        status = "degraded: " + why_no_file;
    } else if (!why_no_snapshot.empty()) {
        status = "degraded: the last snapshot could not be stored: " + why_no_snapshot;
    }
    return {std::move(status), static_cast<double>(clock_.steady_ms() - opened_ms_) / 1000.0,
            role_name(role()), options_.wal, replication_figures().discarded};
}

Lsn Database::durable_lsn() const noexcept {
    return committer_ ? committer_->durable_lsn() : last_whole_lsn_.load(std::memory_order_acquire);
}

bool Database::has_failed() const noexcept {
    return is_half_installed_ || is_half_changed_ || is_directory_lost_ ||
           (committer_ && committer_->has_failed());
}

std::string Database::failure() const {
    if (is_half_installed_) {
        return half_installed_text;
    }
    if (is_half_changed_) {
        return half_changed_text;
    }
    if (is_directory_lost_) {
        const std::lock_guard lock(failure_mutex_);
        return directory_loss_;
    }
    return committer_ && committer_->has_failed() ? committer_->failure() : std::string();
}

std::string Database::write_refusal() const {
    const std::lock_guard lock(failure_mutex_);
    return write_refusal_;
}

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

/// Where there is a thread for it, it is not the caller that takes the time.
void Database::destroy(std::vector<std::unique_ptr<Series>> series) {
    if (housekeeper_ && !series.empty()) {
        try {
            housekeeper_->destroy(std::move(series));
        } catch (const std::bad_alloc&) {
            series.clear();  // then it is the caller after all
        }
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
    const std::uint64_t executed_in = generation();
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
    const bool writes =
        std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request);
    const bool is_refused = std::holds_alternative<Error>(std::get<Reply>(outcome.result));
    try {
        if (writes && !is_refused) {
            wait_acked(outcome.ack_lsn, executed_in, NoDeadline());
        }
    } catch (const RequestError& not_sure) {
        return Error{not_sure.code(), not_sure.what()};
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

/// Not as a request: a slave refuses those, and needs snapshots of its own all the same.
void Database::save_snapshot(const Deadline& deadline) {
    commit();
    try {
        throw_if_refused(store_snapshot(std::nullopt, deadline));
    } catch (const RequestError&) {
        throw;
    } catch (const std::exception& failure) {
        throw RequestError(ErrorCode::internal_error, failure.what());
    }
}

StateView Database::view() const {
    const MakingView making = make_view();
    std::shared_ptr<ViewCollection> collection;
    {
        const std::lock_guard lock(mutex_);
        collection = begin_view(making);
    }
    return finish_view(making, std::move(collection));
}

/// Records that could not be read are not told as forgotten.
std::shared_ptr<ViewCollection> Database::begin_view(const MakingView& /*making*/) const {
    if (is_half_changed_) {
        throw StorageError(half_changed_text);
    }
    std::shared_ptr<ViewCollection> collection = engine_.begin_view();
    if (!has_records() || !records_failure_.empty()) {
        collection->view.records.reset();
    }
    return collection;
}

StateView Database::finish_view(const MakingView& /*making*/,
                                std::shared_ptr<ViewCollection> collection) const {
    constexpr std::size_t series_at_once = 512;
    for (bool is_complete = false; !is_complete;) {
        {
            const std::lock_guard lock(mutex_);
            if (is_half_changed_) {
                throw StorageError(half_changed_text);
            }
            is_complete = !engine_.collect_view(*collection, series_at_once);
        }
        std::this_thread::yield();  // others wait for the lock
    }
    return Engine::ordered(std::move(*collection));
}

Digest Database::digest() const { return view().digest(NoDeadline()); }

std::size_t Database::idempotency_bytes() const {
    const std::lock_guard lock(mutex_);
    return engine_.idempotency().bytes();
}

Lsn Database::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return engine_.last_lsn();
}

}  // namespace karma
