#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/record_tables.h"

namespace karma {

/// What replication keeps for itself in the tables, through restarts, and the orders of the operator that
/// were carried out. Thread-safe. All functions throw StorageError.
class NodeNotes {
public:
    /// `tables` outlives this.
    explicit NodeNotes(RecordTables& tables) : tables_(tables) {}

    std::optional<std::string> read(std::string_view name) const;
    /// Durable when it returns. `std::nullopt` removes it.
    void write(std::string_view name, std::optional<std::string> text);
    /// The change that stores a note as it is now; nothing where there is none.
    std::optional<RecordChange> kept(std::string_view name) const;

    /// Whether an order was carried out here before.
    bool is_order_used(const std::string& order) const;
    /// An order of which that is not so, for messages.
    std::string unused_order() const;

private:
    RecordTables& tables_;
};

}  // namespace karma
