#include "persist/identity.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/error.h"
#include "engine/replicated.h"
#include "persist/errno_text.h"
#include "persist/meta_numbers.h"

namespace karma {
namespace {

constexpr const char* database_id_key = "database_id";       // 32 hexadecimal digits
constexpr const char* node_id_key = "node_id";               // of this node
constexpr const char* place_key = "node_place";              // where it was drawn
constexpr const char* first_writer_key = "first_writer";     // the node that appends in epoch 0
constexpr const char* own_epoch_key = "own_epoch";           // of versions whose epochs name no node
constexpr const char* known_epoch_key = "fenced_by";         // number and id
constexpr const char* used_orders_key = "used_orders";       // each in a line
constexpr const char* retention_key = "idempotency_limits";  // of the master: records, seconds
constexpr const char* marks_key = "history_marks";
constexpr std::size_t used_orders_max = 1000;

/// Never 0, which stands for what is not known.
std::uint64_t draw(const std::function<std::uint64_t()>& random) {
    std::uint64_t number = 0;
    while (number == 0) {
        number = random();
    }
    return number;
}

}  // namespace

std::string place_of(const std::filesystem::path& directory) {
    struct statx found {};
    if (::statx(AT_FDCWD, directory.c_str(), 0, STATX_INO | STATX_BTIME, &found) != 0) {
        throw StorageError("cannot look at " + directory.string() + ": " + errno_text());
    }
    if ((found.stx_mask & STATX_INO) == 0) {
        return {};
    }
    std::string place = std::to_string(found.stx_ino);
    if ((found.stx_mask & STATX_BTIME) != 0) {
        place += " " + std::to_string(found.stx_btime.tv_sec) + "." + std::to_string(found.stx_btime.tv_nsec);
    }
    return place;
}

NodeIdentity::NodeIdentity(const RecordTables& tables, std::string place,
                           const std::function<std::uint64_t()>& random)
    : place_(std::move(place)) {
    const std::optional<NodeId> stored = read_meta_number(tables, node_id_key);
    const std::string stored_place = tables.read(Table::meta, place_key).value_or("");
    const bool is_elsewhere = !place_.empty() && !stored_place.empty() && place_ != stored_place;
    if (stored && !is_elsewhere) {
        node_ = *stored;
        is_stored_ = place_.empty() || place_ == stored_place;
    } else {
        node_ = draw(random);
        copied_from_ = stored;
    }
    first_writer_ = read_meta_number(tables, first_writer_key).value_or(0);
    if (!copied_from_) {
        own_epoch_ = read_meta_number(tables, own_epoch_key);
    }
}

bool NodeIdentity::is_writer(const Epochs& epochs) const noexcept {
    if (epochs.empty()) {
        return first_writer_ == node_;
    }
    const Epoch& last = epochs.back();
    return last.node == 0 ? own_epoch_ == last.id : last.node == node_;
}

std::vector<RecordChange> NodeIdentity::changes() const {
    if (is_stored_) {
        return {};
    }
    std::vector<RecordChange> changes = {meta_numbers_change(node_id_key, {node_}),
                                         {Table::meta, place_key, place_}};
    if (copied_from_) {
        changes.push_back({Table::meta, own_epoch_key, std::nullopt});
        changes.push_back({Table::meta, "note_" + std::string(counted_note), std::nullopt});
    }
    return changes;
}

RecordChange NodeIdentity::first_writer_change(bool is_this) const {
    return is_this ? meta_numbers_change(first_writer_key, {node_})
                   : RecordChange{Table::meta, first_writer_key, std::nullopt};
}

std::string short_copy_text(Lsn last_lsn) {
    return "it was copied while a daemon used it, or after one that was killed: events after LSN " +
           std::to_string(last_lsn) +
           " that were acknowledged may be missing. karma backup makes a whole copy of a running daemon";
}

DatabaseId read_database_id(const RecordTables& tables) {
    const std::optional<std::string> stored = tables.read(Table::meta, database_id_key);
    if (!stored) {
        return {};
    }
    const std::optional<DatabaseId> id = DatabaseId::from_text(*stored);
    if (!id) {
        throw CorruptionError("the record " + std::string(database_id_key) +
                              " of the database is damaged: it is not 32 hexadecimal digits");
    }
    return *id;
}

RecordChange database_id_change(const DatabaseId& id) { return {Table::meta, database_id_key, id.text()}; }

DatabaseId draw_database_id(const std::function<std::uint64_t()>& random) { return {draw(random), random()}; }

std::vector<RecordChange> records_of_node(const RecordTables& tables) {
    std::vector<RecordChange> records;
    for (const char* const key :
         {node_id_key, place_key, own_epoch_key, known_epoch_key, used_orders_key, retention_key}) {
        if (std::optional<std::string> value = tables.read(Table::meta, key)) {
            records.push_back({Table::meta, key, std::move(value)});
        }
    }
    return records;
}

std::vector<std::string> read_used_orders(const RecordTables& tables) {
    std::vector<std::string> orders;
    std::string rest = tables.read(Table::meta, used_orders_key).value_or("");
    for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
        orders.push_back(rest.substr(0, end));
        rest.erase(0, end + 1);
    }
    return orders;
}

RecordChange used_orders_change(std::vector<std::string> orders) {
    if (orders.size() > used_orders_max) {
        orders.erase(orders.begin(), orders.end() - static_cast<std::ptrdiff_t>(used_orders_max));
    }
    std::string text;
    for (const std::string& order : orders) {
        text += order + "\n";
    }
    return {Table::meta, used_orders_key, std::move(text)};
}

std::optional<IdempotencyRetention> read_retention_told(const RecordTables& tables) {
    const auto stored = read_meta_numbers(tables, retention_key, 2);
    return stored ? std::optional(IdempotencyRetention{std::max<std::uint64_t>(stored->front(), 1),
                                                       static_cast<std::int64_t>(stored->back())})
                  : std::nullopt;
}

RecordChange retention_told_change(const IdempotencyRetention& retention) {
    return meta_numbers_change(retention_key,
                               {retention.records_max, static_cast<std::uint64_t>(retention.age_max_s)});
}

HistoryMarks read_marks(const RecordTables& tables) {
    const std::optional<std::string> stored = tables.read(Table::meta, marks_key);
    return stored ? HistoryMarks::decoded(*stored) : HistoryMarks();
}

RecordChange marks_change(const HistoryMarks& marks) { return {Table::meta, marks_key, marks.encoded()}; }

std::optional<Epoch> read_known_epoch(const RecordTables& tables) {
    const auto stored = read_meta_numbers(tables, known_epoch_key, 2);
    return stored ? std::optional(Epoch{stored->front(), stored->back(), 0}) : std::nullopt;
}

RecordChange known_epoch_change(const Epoch& epoch) {
    return meta_numbers_change(known_epoch_key, {epoch.number, epoch.id});
}

RecordChange no_known_epoch_change() { return {Table::meta, known_epoch_key, std::nullopt}; }

bool is_known_epoch(const RecordChange& record) noexcept {
    return record.table == Table::meta && record.key == known_epoch_key;
}

}  // namespace karma
