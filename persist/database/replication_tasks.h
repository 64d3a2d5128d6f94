#pragma once

#include <memory>

#include "engine/request.h"
#include "persist/database/parts.h"

/// Requests about replication: they may wait for other nodes, or read the log. Each runs on any thread,
/// without the lock of the state; `parts` outlives it.
namespace karma {

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Promote& asked);
std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Promise& asked);
std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::ForgetFollower& asked);
/// Takes note of an epoch that another node has named.
std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Fence& named);
std::unique_ptr<Task> replication_task(DatabaseParts& parts, const query::CompareDigests& asked);
/// Looks up a place of the history. With the lock of the state.
std::unique_ptr<Task> replication_task(DatabaseParts& parts, const query::HistoryPositionAt& asked);

}  // namespace karma
