#include "persist/history_task.h"

#include "persist/restore.h"

namespace karma {

std::optional<Error> rebuild_series(Engine& past, DatabaseParts& parts, std::string_view series,
                                    const HistoryPoint& point, Lsn last_lsn, const Deadline& deadline) {
    if (!parts.live.wait_durable(last_lsn)) {
        return log_failed();
    }
    const auto kept = parts.snapshots.keep_all();
    const HistoryPoint until{std::min(point.lsn, last_lsn), point.time_ms};
    restore_series(past, series, parts.storage, parts.snapshots, deadline, until);
    return std::nullopt;
}

}  // namespace karma
