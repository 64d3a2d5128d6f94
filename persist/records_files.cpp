#include "persist/records_files.h"

#include <algorithm>

#include "engine/error.h"

namespace karma {
namespace {

/// Offsets that are remembered of a file; of one that is fetched in more parts nothing is certain.
constexpr std::size_t offsets_max = 1024;
/// Files that are gone, and with which somebody may go on.
constexpr std::size_t gone_max = 64;

}  // namespace

RecordsFiles::RecordsFiles(const RecordTables& tables, std::filesystem::path directory, MonotonicClock clock)
    : tables_(tables), directory_(std::move(directory)), clock_(std::move(clock)) {}

RecordsFiles::Opened RecordsFiles::open(const reply::IdempotencySnapshot& latest, Lsn first_record_lsn,
                                        std::optional<Lsn> last_lsn, std::uint64_t offset,
                                        std::uint64_t limit, const Deadline& deadline) {
    const std::lock_guard lock(mutex_);
    drop_idle_locked();
    const bool is_latest = last_lsn ? *last_lsn == latest.last_lsn : offset == 0;
    auto at = is_latest ? find(latest.last_lsn) : last_lsn ? find(*last_lsn) : find_by_offset(offset);
    if (at == files_.end()) {
        if (!is_latest) {
            throw RequestError(ErrorCode::not_found,
                               "karma.idempotency.json of the snapshot at LSN " +
                                   std::to_string(last_lsn.value_or(0)) +
                                   " is not kept any more: begin again with the latest one, at LSN " +
                                   std::to_string(latest.last_lsn));
        }
        at = make(latest, first_record_lsn, deadline);
    }
    files_.splice(files_.begin(), files_, at);
    note_part(*at, offset, limit);
    at->used = clock_();
    Opened opened{at->about, at->file};
    opened.about.bytes = at->file->size();
    return opened;
}

void RecordsFiles::note_part(Fetched& file, std::uint64_t offset, std::uint64_t limit) {
    const std::uint64_t size = file.file->size();
    if (offset > size) {
        return;
    }
    if (const auto was = file.expected.find(offset); was != file.expected.end() && --was->second == 0) {
        file.expected.erase(was);
    }
    const std::uint64_t end = offset + std::min(limit, size - offset);
    if (end != size && file.expected.size() < offsets_max) {
        ++file.expected[end];
    }
    if (file.asked.size() < offsets_max) {
        file.asked.insert(offset);
    }
    if (end == size && file.expected.empty()) {
        file.asked.clear();  // everybody has all of it
    }
    file.served_to = std::max(file.served_to, end);
}

RecordsFiles::Files::iterator RecordsFiles::find(Lsn last_lsn) {
    return std::ranges::find_if(
        files_, [&](const Fetched& file) { return file.file && file.about.last_lsn == last_lsn; });
}

/// Who is in the middle of a file goes on with it, also after another snapshot.
RecordsFiles::Files::iterator RecordsFiles::find_by_offset(std::uint64_t offset) {
    const auto may_be_meant = [&](const Fetched& file) {
        const bool is_forgotten = file.asked.size() >= offsets_max && offset <= file.served_to;
        return is_forgotten || file.expected.contains(offset) || file.asked.contains(offset);
    };
    auto found = std::ranges::find_if(files_, may_be_meant);
    if (found != files_.end() &&
        (!found->file || std::find_if(std::next(found), files_.end(), may_be_meant) != files_.end())) {
        found = files_.end();
    } else if (found == files_.end() && files_.size() == 1 && files_.front().file &&
               files_.front().served_to >= offset) {
        found = files_.begin();  // a part that begins elsewhere, or is asked for again
    }
    if (found == files_.end()) {
        throw RequestError(ErrorCode::validation_error,
                           "Field last_lsn is needed to tell which karma.idempotency.json is meant: that of "
                           "more than one snapshot, or of none, is being fetched up to offset " +
                               std::to_string(offset) + ". Without it, begin again at offset 0");
    }
    return found;
}

RecordsFiles::Files::iterator RecordsFiles::make(const reply::IdempotencySnapshot& about,
                                                 Lsn first_record_lsn, const Deadline& deadline) {
    Fetched made;
    made.about = about;
    const RecordsSelection selection{first_record_lsn, about.last_lsn, {}, {}};
    made.file = std::make_shared<const RecordsFile>(tables_, selection, directory_, deadline);
    files_.push_front(std::move(made));
    std::size_t kept = 0;
    for (Fetched& file : files_) {
        if (file.file && ++kept > kept_max) {
            drop(file);
        }
    }
    return files_.begin();
}

std::optional<std::uint64_t> RecordsFiles::size_of(Lsn last_lsn) const {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
        return std::nullopt;
    }
    for (const Fetched& file : files_) {
        if (file.file && file.about.last_lsn == last_lsn) {
            return file.file->size();
        }
    }
    return std::nullopt;
}

void RecordsFiles::drop_idle() {
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) {
        drop_idle_locked();
    }
}

void RecordsFiles::drop_idle_locked() {
    const auto now = clock_();
    for (Fetched& file : files_) {
        if (file.file && now - file.used > idle_max) {
            drop(file);
        }
    }
    files_.remove_if([&](const Fetched& file) {
        return !file.file && (file.expected.empty() || now - file.used > idle_max);
    });
    while (files_.size() > kept_max + gone_max) {
        files_.pop_back();
    }
}

/// Whoever was fetching it and does not know must not go on with another one, for some time.
void RecordsFiles::drop(Fetched& file) {
    file.file.reset();
    file.used = clock_();
}

void RecordsFiles::forget_all(const Excluding& /*excluding*/) {
    for (Fetched& file : files_) {
        drop(file);
    }
}

}  // namespace karma
