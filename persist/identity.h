#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/epoch.h"
#include "engine/idempotency.h"
#include "engine/record_tables.h"
#include "persist/history_marks.h"

/// Who a database and the node that holds it are, as the table `meta` keeps it: docs/replication-protocol.md
/// says what it is good for, docs/storage-format.md how it is written.
namespace karma {

/// What a copy of a directory does not share with it: the directory's inode and the time of its birth. Empty
/// where the file system does not tell. Throws StorageError.
std::string place_of(const std::filesystem::path& directory);

class NodeIdentity {
public:
    /// Reads what is stored; draws a node id where there is none, or it was drawn in another place than
    /// `place`. Writes nothing. An empty place is every place. Throws CorruptionError.
    NodeIdentity(const RecordTables& tables, std::string place, const std::function<std::uint64_t()>& random);

    NodeId node_id() const noexcept { return node_; }
    /// The id of the node of which this is a copy; nothing when it is none.
    std::optional<NodeId> copied_from() const noexcept { return copied_from_; }

    /// Whether this node appends events in the last epoch of a history: no other one does.
    bool is_writer(const Epochs& epochs) const noexcept;

    /// What makes the identity durable; nothing where it is.
    std::vector<RecordChange> changes() const;
    /// What says that this node appends in epoch 0, or that another one does.
    RecordChange first_writer_change(bool is_this) const;
    /// Says that it does, as `is_writer` sees it.
    void become_first_writer(bool is_this) noexcept { first_writer_ = is_this ? node_ : 0; }

private:
    std::string place_;
    NodeId node_ = 0;
    bool is_stored_ = false;
    std::optional<NodeId> copied_from_;
    NodeId first_writer_ = 0;                 // which appends in epoch 0; 0: not known
    std::optional<std::uint64_t> own_epoch_;  // the id of an epoch that a version without node ids began here
};

/// What has to be said of a database that was not closed in good order before it was copied: that the copy
/// may be short of events after `last_lsn`.
std::string short_copy_text(Lsn last_lsn);

/// A record of `meta` that is there while others may have events of this history that are not on this disk:
/// from the first follower of a log that is not synced up to a clean end.
inline constexpr const char* may_lose_key = "followed_unsynced";

/// Not known where there is none. Throws CorruptionError.
DatabaseId read_database_id(const RecordTables& tables);
RecordChange database_id_change(const DatabaseId& id);
DatabaseId draw_database_id(const std::function<std::uint64_t()>& random);

/// The records of `meta` that belong to the node, not to the history that it holds: they stay when another
/// state takes the place of all that is stored.
std::vector<RecordChange> records_of_node(const RecordTables& tables);

/// The operator's orders that were carried out here, the latest ones. Throws CorruptionError.
std::vector<std::string> read_used_orders(const RecordTables& tables);
RecordChange used_orders_change(std::vector<std::string> orders);

/// The limits of a master whose state this node has; nothing where it has followed none. Throws
/// CorruptionError.
std::optional<IdempotencyRetention> read_retention_told(const RecordTables& tables);
RecordChange retention_told_change(const IdempotencyRetention& retention);

/// Throws CorruptionError.
HistoryMarks read_marks(const RecordTables& tables);
RecordChange marks_change(const HistoryMarks& marks);

/// The latest epoch that the node was told of; nothing where it was told of none. Throws CorruptionError.
std::optional<Epoch> read_known_epoch(const RecordTables& tables);
/// Forgets it.
RecordChange no_known_epoch_change();
RecordChange known_epoch_change(const Epoch& epoch);
bool is_known_epoch(const RecordChange& record) noexcept;

}  // namespace karma
