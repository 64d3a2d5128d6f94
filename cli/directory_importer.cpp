#include "cli/directory_importer.h"

#include <algorithm>
#include <iterator>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cli/input_file.h"
#include "cli/text.h"
#include "engine/error.h"
#include "persist/export.h"
#include "persist/file_content.h"
#include "persist/hash_seed.h"
#include "persist/random_number.h"
#include "persist/record_store.h"
#include "persist/records_json.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_store.h"
#include "persist/tree_reader.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

/// The last second of the year 9999: later times cannot be written as dates.
constexpr std::int64_t latest_unix = 253'402'300'799;

/// The time at which an entry with an idempotency key was accepted; one that cannot be true is as one that is
/// not there.
std::int64_t created_unix(std::string_view entry, std::int64_t otherwise) {
    boost::system::error_code failure;
    const json::value value = json::parse(entry, failure);
    const json::value* const created = failure || !value.is_object()
                                           ? nullptr
                                           : value.get_object().if_contains("idempotency_created_at_unix");
    const auto unix_time = created == nullptr ? otherwise : created->to_number<std::int64_t>(failure);
    return failure || unix_time < 0 || unix_time > latest_unix ? otherwise : unix_time;
}

std::optional<std::string> text_or_number(const json::object& object, const char* name) {
    const json::value* const value = object.if_contains(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

}  // namespace

DirectoryImporter::DirectoryImporter(std::filesystem::path directory, Keep keep, std::optional<Day> wal_day)
    : directory_(std::move(directory)),
      keep_(keep),
      hash_seed_(random_number()),
      engine_(hash_seed_, sink_),
      v1_log_(directory_, engine_, wal_day) {}

void DirectoryImporter::read() {
    read_trees();
    read_records();
    read_checkpoints();
    last_lsn_ = std::max(last_lsn_, read_lsn_file(directory_ / "karma.wal.lsn"));
    read_log();
    restore_streams();
    warn_of_dropped();
    note_v1_log();
}

void DirectoryImporter::read_trees() {
    result_.files = find_tree_files(directory_);
    for (const TreeFile& file : result_.files) {
        try {
            read_tree_file(file);
        } catch (const CorruptionError& failure) {
            throw InputError(file.path.string() + ": " + failure.what());
        }
        file_lsns_[file.series] = file.last_lsn.value_or(0);
        if (!file.last_lsn) {
            without_lsn_.insert(file.series);
        }
        last_lsn_ = std::max(last_lsn_, file.last_lsn.value_or(0));
    }
}

void DirectoryImporter::read_tree_file(const TreeFile& file) {
    const FileContent content(file.path);
    Series series = read_tree_series(file.series, hash_seed_, file.last_lsn.value_or(0), content.bytes());
    if (keep_ == Keep::all) {
        engine_.restore_series(std::move(series));
        return;
    }
    NullSink sink;
    Engine of_one(hash_seed_, sink);
    of_one.restore_series(std::move(series));
    const StateView view = of_one.view();
    dropped_digest_ += view.digest(NoDeadline());
    dropped_.keys += view.series.front().totals().keys;
    ++dropped_.series;
}

ReadBack DirectoryImporter::read_back() const {
    ReadBack found = dropped_;
    const StateView view = engine_.view();
    for (const SeriesView& series : view.series) {
        ++found.series;
        found.keys += series.totals().keys;
    }
    Digest digest = dropped_digest_;
    digest += view.digest(NoDeadline());
    found.digest = digest.text();
    found.records = records_.size();
    found.streams = engine_.streams().committed_streams().size();
    return found;
}

void DirectoryImporter::read_records() {
    const std::filesystem::path path = directory_ / "karma.idempotency.json";
    if (!std::filesystem::exists(path)) {
        return;
    }
    const FileContent content(path);
    try {
        read_records_json(
            content.bytes(),
            [&](const IdempotencyRecord& record) {
                records_.push_back({std::string(record.key), record});
                known_keys_.emplace(record.key);
            },
            [&](StreamInfo stream) { streams_.push_back(std::move(stream)); });
    } catch (const CorruptionError& failure) {
        throw InputError(path.string() + ": " + failure.what());
    }
}

bool DirectoryImporter::is_known_stream(std::string_view id) const {
    return std::ranges::find(streams_, id, &StreamInfo::id) != streams_.end();
}

/// Committed streams that the log says nothing of, or not all.
void DirectoryImporter::restore_streams() {
    for (const StreamInfo& stream : streams_) {
        const IngestStreams::Stream* const found = std::as_const(engine_).streams().find(stream.id);
        if (found == nullptr || !found->info.is_committed()) {
            engine_.restore_stream(stream, nullptr);
        }
    }
}

void DirectoryImporter::read_checkpoints() {
    const std::filesystem::path path = directory_ / "recovery.json";
    if (!std::filesystem::exists(path)) {
        return;
    }
    const FileContent content(path);
    boost::system::error_code failure;
    const json::value document = json::parse(content.bytes(), failure);
    const json::value* const all =
        failure || !document.is_object() ? nullptr : document.get_object().if_contains("checkpoints");
    if (all == nullptr || !all->is_array()) {
        throw InputError(path.string() + ": no JSON object with an array checkpoints");
    }
    std::vector<reply::Checkpoint> checkpoints;
    for (const json::value& one : all->get_array()) {
        const json::object* const object = one.if_object();
        const json::value* const updated =
            object == nullptr ? nullptr : object->if_contains("updated_at_unix");
        const std::optional<std::string> source =
            object == nullptr ? std::nullopt : text_or_number(*object, "source");
        boost::system::error_code no_time;
        const auto updated_unix =
            updated == nullptr ? std::int64_t{0} : updated->to_number<std::int64_t>(no_time);
        if (!source || updated == nullptr || no_time) {
            throw InputError(path.string() + ": a checkpoint without source or updated_at_unix: " +
                             cli::quoted(json::serialize(one)));
        }
        checkpoints.push_back(
            {*source, text_or_number(*object, "offset"), text_or_number(*object, "event_id"), updated_unix});
    }
    engine_.restore_checkpoints(std::move(checkpoints));
    has_checkpoints_ = true;
}

// ---- the log

void DirectoryImporter::read_log() {
    result_.log = read_log_files(directory_, [this](const LogLine& line) { apply(line); });
    for (const std::string& gap : result_.log.gaps) {
        result_.warnings.push_back("the log has no entries " + gap);
    }
    if (!result_.log.torn.empty()) {
        result_.warnings.push_back(result_.log.torn +
                                   ": the last line is cut short and was ignored: it was never acknowledged");
    }
}

void DirectoryImporter::apply_v1(const LogLine& line) {
    if (result_.files.size() != without_lsn_.size()) {
        throw InputError(line.place +
                         " is of Karma 0.1, and a .tree file has a .meta.json of Karma 1.0: these "
                         "are the files of two databases");
    }
    if (const std::optional<std::string> why = v1_log_.apply(line)) {
        refuse(line, *why);
    } else {
        ++result_.applied;
    }
}

void DirectoryImporter::note_v1_log() {
    if (result_.log.is_v1) {
        result_.wal_day = v1_log_.day();
        result_.is_wal_day_given = v1_log_.is_day_given();
        std::ranges::move(v1_log_.warnings(result_.files), std::back_inserter(result_.warnings));
    } else if (v1_log_.is_day_given()) {
        result_.warnings.emplace_back("--wal-day has no effect: the log has no entries of Karma 0.1");
    }
}

void DirectoryImporter::apply(const LogLine& line) {
    last_lsn_ = std::max(last_lsn_, line.lsn);
    if (line.is_v1) {
        apply_v1(line);
        return;
    }
    decoder_.release();
    const net::Decoded decoded = decoder_.decode_general(line.entry, true);
    if (const auto* const wrong = std::get_if<Error>(&decoded)) {
        throw InputError(line.place + ": " + wrong->message);
    }
    const Request& request = std::get<Request>(decoded);
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        apply_mutation(line, *keyed->body, keyed);
    } else if (const auto* const body = std::get_if<Mutation>(&request)) {
        apply_mutation(line, *body, nullptr);
    } else {
        refuse(line, "it is none that changes something");
    }
}

bool DirectoryImporter::is_older(const Mutation& body, const LogLine& line) const {
    const auto found = file_lsns_.find(series_of(body));
    if (found == file_lsns_.end()) {
        return false;
    }
    if (without_lsn_.contains(series_of(body))) {
        throw InputError(line.place + " concerns series " + cli::quoted(found->first) +
                         ", whose latest .tree file has no .meta.json: it cannot be told whether the file "
                         "holds this entry, which could be counted twice");
    }
    return line.lsn <= found->second;
}

void DirectoryImporter::apply_mutation(const LogLine& line, const Mutation& body,
                                       const KeyedMutation* keyed) {
    const bool older = is_older(body, line);
    const bool is_of_stream = !stream_of(body).empty();
    const bool wants_record = keyed != nullptr && !known_keys_.contains(keyed->key);
    const bool is_in_files = std::holds_alternative<mutation::PruneRecords>(body) ||
                             std::holds_alternative<mutation::PruneStreams>(body) ||
                             (std::holds_alternative<mutation::SaveCheckpoint>(body) && has_checkpoints_) ||
                             (is_of_stream && is_known_stream(stream_of(body)) &&
                              engine_.streams().find(stream_of(body)) == nullptr &&
                              !std::holds_alternative<mutation::BeginStream>(body));
    if (is_in_files || (older && !is_of_stream && !wants_record)) {
        ++result_.older;
        return;
    }
    // The file's time stands in for the time that an entry without a key does not have.
    const std::int64_t now_ms = created_unix(line.entry, line.modified_unix) * 1000;
    PreparedMutation prepared;
    if (const Request request = keyed == nullptr ? Request(body) : Request(*keyed);
        Preparer::concerns(request)) {
        prepared = preparer_.prepare(request, hash_seed_, now_ms);
    }
    engine_.restore_last_lsn(line.lsn - 1);
    if (const auto* const chunk = std::get_if<mutation::AddChunk>(&body);
        older && chunk != nullptr && engine_.streams().find(chunk->stream_id) != nullptr) {
        const fact::AddChunk fact{chunk->stream_id, chunk->series, chunk->chunk_seq, chunk->items,
                                  prepared.fingerprint};
        engine_.apply({line.lsn, now_ms, fact, {}});  // only the stream takes note of it
        ++result_.older;
        return;
    }
    const Outcome outcome = engine_.execute(Request(body), prepared, now_ms);
    const Reply& reply = std::get<Reply>(outcome.result);
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        refuse(line, refused->message);
        return;
    }
    ++(older ? result_.older : result_.applied);
    if (wants_record) {
        keep_record(body, prepared, *keyed, reply, now_ms);
    }
}

void DirectoryImporter::refuse(const LogLine& line, const std::string& why) {
    constexpr std::size_t kept_max = 20;
    ++result_.refused;
    if (result_.first_refused.size() < kept_max) {
        result_.first_refused.push_back({line.lsn, why});
    }
}

void DirectoryImporter::keep_record(const Mutation& body, const PreparedMutation& prepared,
                                    const KeyedMutation& keyed, const Reply& reply, std::int64_t now_ms) {
    known_keys_.emplace(keyed.key);
    OwnedRecord owned{std::string(keyed.key), {}};
    owned.record.created_at_unix = now_ms / 1000;
    owned.record.operation = operation_of(body).value();
    owned.record.fingerprint = prepared.fingerprint;
    set_response(owned.record, reply);
    records_.push_back(std::move(owned));
}

/// A series that was dropped before the newest snapshots leaves its old file behind, and nothing says so.
void DirectoryImporter::warn_of_dropped() {
    Lsn newest = 0;
    for (const auto& entry : file_lsns_) {
        newest = std::max(newest, entry.second);
    }
    for (const auto& [series, lsn] : file_lsns_) {
        if (lsn < newest && engine_.find_series(series) != nullptr &&
            engine_.find_series(series)->last_lsn() <= lsn) {
            result_.warnings.push_back("series " + cli::quoted(series) + ": its latest file is of LSN " +
                                       std::to_string(lsn) + ", others of LSN " + std::to_string(newest) +
                                       ": if it was dropped in between, drop it again");
        }
    }
}

// ---- storing

std::vector<RecordChange> DirectoryImporter::record_changes(Lsn last_lsn) {
    constexpr std::size_t in_a_row = 1024;
    std::vector<RecordChange> changes;
    std::string bytes;
    Lsn lsn = last_lsn - records_.size();
    std::size_t count = 0;
    for (OwnedRecord& owned : records_) {
        owned.record.lsn = ++lsn;
        owned.record.key = owned.key;
        append_record(owned.record, bytes);
        if (++count % in_a_row == 0 || count == records_.size()) {
            changes.push_back(records_change(lsn, std::move(bytes)));
            bytes.clear();
        }
    }
    for (StreamInfo& stream : streams_) {
        stream.lsn = last_lsn;
        changes.push_back(committed_stream_change(stream));
    }
    return changes;
}

DirectoryImport DirectoryImporter::store(const std::filesystem::path& path, std::int64_t now_ms) {
    // Each record needs an LSN of its own, and what there is came from some event: only a directory in which
    // there is nothing stays at LSN 0.
    streams_ = engine_.streams().committed_streams();
    const StateView found = engine_.view();
    const bool is_empty =
        found.series.empty() && found.of<Checkpoints>().checkpoints.empty() && streams_.empty();
    last_lsn_ = std::max<Lsn>({last_lsn_, records_.size(), is_empty ? 0U : 1U});
    engine_.restore_last_lsn(last_lsn_);
    const std::filesystem::path unfinished = path.string() + ".import";
    std::filesystem::remove_all(unfinished);
    {
        RocksdbStorage::Options options;
        options.path = unfinished;
        RocksdbStorage storage(options);
        write_hash_seed(storage, hash_seed_);
        SnapshotStore snapshots(storage);
        result_.state = engine_.view();
        snapshots.save_all(snapshots.begin_saving(), result_.state, now_ms, record_changes(last_lsn_));
    }
    std::filesystem::rename(unfinished, path);
    result_.records = records_.size();
    result_.streams = streams_.size();
    result_.digest = result_.state.digest(NoDeadline()).text();
    return std::move(result_);
}

}  // namespace karma::cli
