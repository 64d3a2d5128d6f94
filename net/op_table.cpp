#include "net/op_table.h"

#include <unordered_map>

namespace karma::net {

std::span<const OpGroup* const> op_groups() {
    static const std::array<const OpGroup*, 8> groups = {
        &counter_ops(),  &many_counter_ops(), &series_ops(), &ingest_ops(),
        &snapshot_ops(), &replication_ops(),  &event_ops(),  &system_ops(),
    };
    return groups;
}

std::vector<OpName> all_ops() {
    std::vector<OpName> all;
    for (const OpGroup* const group : op_groups()) {
        for (const Op& op : group->ops) {
            all.push_back({op.name, op});
            for (const std::string_view alias : op.aliases) {
                all.push_back({alias, op});
            }
        }
    }
    return all;
}

const Op* find_op(std::string_view name) noexcept {
    static const std::unordered_map<std::string_view, const Op*> by_name = [] {
        std::unordered_map<std::string_view, const Op*> map;
        for (const OpName& entry : all_ops()) {
            map.emplace(entry.name, &entry.op);
        }
        return map;
    }();
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
}

}  // namespace karma::net
