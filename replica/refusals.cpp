#include "replica/refusals.h"

#include <algorithm>
#include <functional>

namespace karma::replica {

bool Refusals::is_new(const std::string& name, const std::string& reason) {
    const Refusal refusal{std::hash<std::string>()(name), std::hash<std::string>()(reason)};
    const std::lock_guard lock(mutex_);
    const auto before = std::ranges::find(refusals_, refusal.name, &Refusal::name);
    const bool is_new = before == refusals_.end() || before->reason != refusal.reason;
    if (before != refusals_.end()) {
        refusals_.erase(before);
    } else if (refusals_.size() >= names_max) {
        refusals_.pop_front();
    }
    refusals_.push_back(refusal);
    return is_new;
}

void Refusals::forget(const std::string& name) {
    const std::lock_guard lock(mutex_);
    std::erase_if(refusals_,
                  [hash = std::hash<std::string>()(name)](const Refusal& one) { return one.name == hash; });
}

}  // namespace karma::replica
