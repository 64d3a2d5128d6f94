#include "persist/preparations.h"

#include <algorithm>

namespace karma {

void Preparations::prepare(std::span<const Request> requests, std::uint64_t hash_seed, std::int64_t now_ms) {
    next_ = 0;
    count_ = static_cast<std::size_t>(std::ranges::count_if(requests, Preparer::concerns));
    if (prepared_.size() < count_) {
        prepared_.resize(count_);
    }
    std::size_t at = 0;
    for (const Request& request : requests) {
        if (Preparer::concerns(request)) {
            prepared_[at] = preparer_.prepare(request, hash_seed, now_ms);
            ++at;
        }
    }
}

const PreparedMutation* Preparations::next(const Request& request, const Engine& engine) noexcept {
    if (count_ == next_ || !Preparer::concerns(request)) {
        return nullptr;
    }
    constexpr std::size_t ahead = 4;
    if (next_ + ahead < count_) {
        engine.prefetch(prepared_[next_ + ahead]);
    }
    return &prepared_[next_++];
}

}  // namespace karma
