#include "persist/records_files.h"

#include <algorithm>

#include "engine/error.h"

namespace karma {

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
    const std::uint64_t size = at->file->size();
    if (offset <= size) {
        if (const auto asked = at->expected.find(offset);
            asked != at->expected.end() && --asked->second == 0) {
            at->expected.erase(asked);
        }
        const std::uint64_t end = offset + std::min(limit, size - offset);
        constexpr std::size_t expected_max = 1024;
        if (end != size && at->expected.size() < expected_max) {
            ++at->expected[end];
        }
        at->served_to = std::max(at->served_to, end);
    }
    at->used = clock_();
    Opened opened{at->about, at->file};
    opened.about.bytes = size;
    return opened;
}

RecordsFiles::Files::iterator RecordsFiles::find(Lsn last_lsn) {
    return std::ranges::find_if(files_, [&](const Fetched& file) { return file.about.last_lsn == last_lsn; });
}

/// Who is in the middle of a file goes on with it, also after another snapshot.
RecordsFiles::Files::iterator RecordsFiles::find_by_offset(std::uint64_t offset) {
    const auto only = [this](const auto& fits) {
        const auto found = std::ranges::find_if(files_, fits);
        const bool is_only =
            found != files_.end() && std::find_if(std::next(found), files_.end(), fits) == files_.end();
        return is_only ? found : files_.end();
    };
    auto found = only([&](const Fetched& file) { return file.expected.contains(offset); });
    if (found == files_.end() && files_.size() == 1 && files_.front().served_to >= offset) {
        found = files_.begin();  // a part that is asked for again
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
    if (files_.size() > kept_max) {
        files_.pop_back();
    }
    return files_.begin();
}

std::optional<std::uint64_t> RecordsFiles::size_of(Lsn last_lsn) const {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
        return std::nullopt;
    }
    for (const Fetched& file : files_) {
        if (file.about.last_lsn == last_lsn) {
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
    files_.remove_if([&](const Fetched& file) { return now - file.used > idle_max; });
}

}  // namespace karma
