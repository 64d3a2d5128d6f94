#include "persist/export_tasks.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "engine/error.h"
#include "engine/querier.h"
#include "persist/checkpoints_json.h"
#include "persist/records_of_series.h"
#include "persist/snapshot_tasks.h"

namespace karma {

namespace json = boost::json;

namespace {

/// A text as a file.
class TextSource final : public reply::ByteSource {
public:
    explicit TextSource(std::shared_ptr<const Export> of) : of_(std::move(of)) {}

    void read(std::uint64_t offset, std::size_t count, std::string& out) const override {
        out.append(of_->contents, offset, count);
    }

private:
    std::shared_ptr<const Export> of_;
};

json::array files_of(const Export& of) {
    json::array files;
    for (const auto& [name, entry] : of.trees) {
        files.push_back(json::object{{"tree", entry->name},
                                     {"file", name},
                                     {"timestamp", of.pin.manifest().file_unix},
                                     {"last_lsn", entry->lsn},
                                     {"bytes", entry->tree_bytes}});
    }
    return files;
}

/// Records that an export does not have.
struct LeftOut {
    std::uint64_t unknown = 0;  // nobody can tell of which series they are
    std::uint64_t hidden = 0;   // who exports may not see their keys
};

/// Leaves all records out that would be taken, and counts them.
void hide_records(RecordsSelection& selection, LeftOut& left_out) {
    selection.wants_record = [wanted = selection.wants_record, &left_out](const IdempotencyRecord& record) {
        left_out.hidden += !wanted || wanted(record) ? 1 : 0;
        return false;
    };
}

std::string contents_of(const Export& of, const LeftOut& left_out) {
    const WrittenRecords& written = of.records->written();
    return json::serialize(
        json::object{{"lsn", of.pin.manifest().lsn},
                     {"timestamp", of.pin.manifest().file_unix},
                     {"database_id", of.pin.manifest().database_id.text()},
                     {"files", files_of(of)},
                     {"records",
                      {{"file", Exports::records_file},
                       {"bytes", of.records->size()},
                       {"record_count", written.records},
                       {"committed_stream_count", written.committed_streams},
                       {"left_out", left_out.unknown},
                       {"keys_shown", of.has_idempotency_keys},
                       {"hidden", left_out.hidden}}},
                     {"checkpoints", checkpoints_json(of.pin.manifest().of<Checkpoints>().checkpoints)}});
}

std::string random_id(const std::function<std::uint64_t()>& random) {
    constexpr const char* digits = "0123456789abcdef";
    std::string id;
    for (std::uint64_t number = random(); id.size() < 16; number >>= 4U) {
        id.push_back(digits[number & 0xFU]);
    }
    return id;
}

}  // namespace

Reply BeginExportTask::run(const Deadline& deadline) {
    const std::string id = random_id(parts_.options.random);
    parts_.files.exports.reserve(id);
    try {
        return begin(id, deadline);
    } catch (...) {
        parts_.files.exports.end(id);
        throw;
    }
}

reply::ExportBegun BeginExportTask::begin(const std::string& id, const Deadline& deadline) {
    SnapshotStore& snapshots = parts_.snapshots;
    if (is_new_) {
        const bool is_saved = parts_.taker.save_if_changed(deadline);
        if (!is_saved && (snapshots.newest_full() == nullptr || snapshots.has_unreadable_pages())) {
            parts_.taker.save(deadline);
        }
    }
    std::optional<SnapshotPin> pin = snapshots.pin_newest_full();
    if (!pin) {
        throw RequestError(ErrorCode::not_found,
                           "There is no snapshot of everything yet: make one with snapshot.create_all");
    }
    // That of an import in which nothing was: it says nothing of what was added since.
    if (!is_new_ && pin->manifest().lsn == 0 && parts_.live.last_lsn() != 0) {
        throw RequestError(ErrorCode::not_found,
                           "The latest snapshot of everything is from before the first event: make one with "
                           "snapshot.create_all");
    }
    const auto made = std::make_shared<Export>(std::move(*pin));
    const SnapshotManifest& manifest = made->pin.manifest();
    for (const SnapshotSeries& entry : manifest.series) {
        if (!series_ || entry.name == *series_) {
            made->trees.emplace(SnapshotFile{made->pin.ref(), &entry}.name(), &entry);
        }
    }
    if (series_ && made->trees.empty()) {
        throw RequestError(ErrorCode::not_found, "The snapshot at LSN " + std::to_string(manifest.lsn) +
                                                     " does not hold the series \"" + *series_ + "\"");
    }
    RecordsSelection selection{manifest.of<IdempotencyIndex>().first_record_lsn, manifest.lsn, {}, {}};
    std::optional<RecordsOfSeries> of_series;
    if (series_) {
        of_series.emplace(parts_.storage, *series_, selection.first_lsn, selection.last_lsn);
        of_series->restrict(selection);
    }
    LeftOut left_out;
    made->has_idempotency_keys = shows_idempotency_keys_;
    if (!shows_idempotency_keys_) {
        hide_records(selection, left_out);
    }
    made->records = std::make_shared<const RecordsFile>(parts_.storage, selection,
                                                        parts_.files.directory_for_files(), deadline);
    left_out.unknown = of_series ? of_series->left_out() : 0;
    made->contents = contents_of(*made, left_out);
    // What was read meanwhile may be of a master's state that took the place of this one.
    if (!snapshots.holds(made->pin.ref())) {
        throw RequestError(ErrorCode::not_found,
                           "The state was replaced while it was to be exported: begin a new export");
    }
    parts_.files.exports.fill(id, made);
    return {id,
            manifest.lsn,
            manifest.file_unix,
            made->trees.size(),
            Exports::contents_file,
            made->contents.size()};
}

Reply FetchExportTask::run(const Deadline& deadline) {
    const std::shared_ptr<const Export> from = parts_.files.exports.find(export_id_);
    reply::FileBytes part{reply::ExportFile{file_}, nullptr, 0, offset_, limit_};
    if (file_ == Exports::contents_file) {
        part.source = std::make_shared<const TextSource>(from);
        part.total = from->contents.size();
    } else if (file_ == Exports::records_file) {
        if (from->has_idempotency_keys && !shows_idempotency_keys_) {
            return Error{ErrorCode::forbidden, "Read-only token cannot fetch idempotency keys"};
        }
        part.source = from->records;
        part.total = from->records->size();
    } else if (const auto tree = from->trees.find(file_); tree != from->trees.end()) {
        part.source = parts_.files.trees.open({from->pin.ref(), tree->second}, deadline);
        part.total = tree->second->tree_bytes;
    } else {
        return Error{ErrorCode::not_found, "Export \"" + export_id_ + "\" has no file \"" + file_ +
                                               "\": " + Exports::contents_file + " lists them"};
    }
    if (offset_ > part.total) {
        return past_the_end(part.total);
    }
    return part;
}

}  // namespace karma
