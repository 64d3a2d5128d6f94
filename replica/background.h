#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <utility>

#include "replica/channel.h"

namespace karma::replica {

/// Work that goes on beside a channel's thread, which is woken when it is done. Waits for it at the end.
template <typename Result>
class Background {
public:
    /// `channel` lives as long as this.
    template <typename Work>
    void start(Channel& channel, Work work) {
        auto done = std::make_shared<std::atomic<bool>>(false);
        done_ = done;
        result_ = std::async(std::launch::async, [&channel, done, work = std::move(work)]() mutable {
            // Also when it throws: before the wake, so that who is woken sees it.
            const struct Tell {
                Channel& channel;
                std::atomic<bool>& done;
                ~Tell() {
                    done = true;
                    channel.wake();
                }
            } tell{channel, *done};
            return work();
        });
    }

    bool is_under_way() const noexcept { return result_.valid(); }
    bool is_done() const noexcept { return result_.valid() && done_->load(); }
    /// What came of it, waited for; throws what it threw.
    Result take() { return result_.get(); }

private:
    std::shared_ptr<std::atomic<bool>> done_;
    std::future<Result> result_;
};

}  // namespace karma::replica
