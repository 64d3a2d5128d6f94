#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "net/op.h"

/// All ops of protocol v2. The groups are in net/ops_*.cpp: an op is added to one of them, and nowhere else
/// in this folder.
namespace karma::net {

/// The op of a name or an alias; null where there is none.
const Op* find_op(std::string_view name) noexcept;

std::span<const OpGroup* const> op_groups();

/// All names, aliases included, with their ops.
struct OpName {
    std::string_view name;
    const Op& op;
};
std::vector<OpName> all_ops();

}  // namespace karma::net
