#include "net/refused_logins.h"

namespace karma::net {

void RefusedLogins::note(const std::string& address, std::uint64_t count, Time now) {
    std::string from = address;
    {
        const std::lock_guard lock(mutex_);
        if (seen_.size() >= addresses_max && !seen_.contains(address)) {
            std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.logged >= interval; });
            if (seen_.size() >= addresses_max) {
                from = "others";
            }
        }
        const auto [at, is_new] = seen_.try_emplace(from, Seen{now, 0});
        Seen& seen = at->second;
        seen.since += count;
        if (!is_new && now - seen.logged < interval) {
            return;
        }
        count = seen.since;
        seen = {now, 0};
    }
    log_.warning("refused_logins",
                 {{"address", from},
                  {"count", count},
                  {"message",
                   "requests without a token that is known; further ones from this address are "
                   "counted, and logged once a minute"}});
}

}  // namespace karma::net
