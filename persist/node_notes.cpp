#include "persist/node_notes.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "persist/identity.h"

namespace karma {
namespace {

std::string note_key(std::string_view name) {
    return "note_" + std::string(name);  // docs/storage-format.md lists them
}

}  // namespace

std::optional<std::string> NodeNotes::read(std::string_view name) const {
    return tables_.read(Table::meta, note_key(name));
}

void NodeNotes::write(std::string_view name, std::optional<std::string> text) {
    const RecordChange change{Table::meta, note_key(name), std::move(text)};
    tables_.write(std::span(&change, 1), true);
}

std::optional<RecordChange> NodeNotes::kept(std::string_view name) const {
    std::optional<std::string> text = read(name);
    return text ? std::optional(RecordChange{Table::meta, note_key(name), std::move(text)}) : std::nullopt;
}

bool NodeNotes::is_order_used(const std::string& order) const {
    return std::ranges::count(read_used_orders(tables_), order) != 0;
}

std::string NodeNotes::unused_order() const {
    const std::vector<std::string> used = read_used_orders(tables_);
    for (std::size_t number = used.size() + 1;; ++number) {
        std::string order = "order-" + std::to_string(number);
        if (std::ranges::count(used, order) == 0) {
            return order;
        }
    }
}

}  // namespace karma
